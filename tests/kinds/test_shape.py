"""Shapes: quantities of a known ball, and a mesh that comes back to its place within a cell."""

import builtins
import io

import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.errors import InputError
from hyperinr.kinds.shape import OCCUPANCY, SIGNED_DISTANCE, UNSIGNED_DISTANCE

pytest.importorskip('igl')
pytest.importorskip('skimage')
trimesh = pytest.importorskip('trimesh')
CELLS = 16
CELL = {'spacing': (2 / CELLS,) * 3}
RADIUS, CENTRE = 3.0, np.array([10.0, -4.0, 2.0])
POINTS = np.linalg.norm(coordinates.grid((CELLS,) * 3), axis=1)
"""Distance of each cell from the centre. The ball, scaled to [-0.9, 0.9]^3, has a radius of 0.9."""


def ball(path, **options):
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    mesh.apply_translation(CENTRE)
    mesh.export(path, **options)
    return path


@pytest.mark.parametrize('suffix', ['.obj', '.ply', '.stl', '.off'])
def test_distances_are_those_of_a_ball(suffix, tmp_path):
    path = ball(tmp_path / f'ball{suffix}')
    signed, unsigned, inside = (kind.read(path, **CELL) for kind in (SIGNED_DISTANCE, UNSIGNED_DISTANCE, OCCUPANCY))
    np.testing.assert_allclose(signed.values.ravel(), np.minimum(POINTS - 0.9, 1), atol=0.01)
    np.testing.assert_allclose(unsigned.values.ravel(), np.minimum(np.abs(POINTS - 0.9), 1), atol=0.01)
    clear = np.abs(POINTS - 0.9) > 0.01
    np.testing.assert_array_equal(inside.values.ravel()[clear], POINTS[clear] < 0.9)
    np.testing.assert_allclose(signed.metadata['centre'], CENTRE, atol=1e-5)
    assert signed.metadata['scale'] == pytest.approx(0.9 / RADIUS, rel=1e-4)


@pytest.mark.parametrize(
    ('kind', 'bound'),
    [(OCCUPANCY, 0.5), (SIGNED_DISTANCE, 0.05), (UNSIGNED_DISTANCE, 1.0)],
    ids=['occupancy', 'signed distance', 'unsigned distance'],
)
def test_a_mesh_comes_back_to_its_place(kind, bound, tmp_path):
    """``bound`` is in cells: marching cubes place a step within one, interpolate a distance, enclose its absolute."""
    found = kind.read(ball(tmp_path / 'ball.ply'), **CELL)
    kind.write(tmp_path / 'again.obj', found.values, {**found.metadata, 'data_range': found.data_range})
    again = trimesh.load_mesh(tmp_path / 'again.obj')
    off = np.abs(np.linalg.norm(again.vertices - CENTRE, axis=1) - RADIUS)
    cell = 2 / CELLS / found.metadata['scale']
    assert off.mean() < bound * cell
    assert off.max() < 2 * max(bound, 0.5) * cell
    assert again.is_watertight


def test_truncated_distances_are_scaled_and_come_back(tmp_path):
    found = SIGNED_DISTANCE.read(ball(tmp_path / 'ball.obj'), data_range=(-0.2, 0.2), **CELL)
    np.testing.assert_allclose(found.values.ravel(), np.clip((POINTS - 0.9) / 0.2, -1, 1), atol=0.05)
    SIGNED_DISTANCE.write(tmp_path / 'b.obj', found.values, {**found.metadata, 'data_range': found.data_range})
    vertices = trimesh.load_mesh(tmp_path / 'b.obj').vertices
    np.testing.assert_allclose(np.linalg.norm(vertices - CENTRE, axis=1), RADIUS, atol=0.05)


def test_open_meshes_and_clouds_of_points_have_an_unsigned_distance(tmp_path):
    square = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    square.export(tmp_path / 'square.obj')
    grid = coordinates.grid((CELLS,) * 3)
    beyond = np.maximum(np.abs(grid) - [0.9, 0.9, 0], 0)
    found = UNSIGNED_DISTANCE.read(tmp_path / 'square.obj', **CELL)
    np.testing.assert_allclose(found.values.ravel(), np.linalg.norm(beyond, axis=1), atol=1e-5)
    with pytest.raises(InputError, match='not watertight.* unsigned distance'):
        OCCUPANCY.read(tmp_path / 'square.obj', **CELL)
    corners = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 1.0]])
    trimesh.PointCloud(corners).export(tmp_path / 'cloud.ply')
    (tmp_path / 'cloud.obj').write_text(''.join(f'v {x} {y} {z}\n' for x, y, z in corners))
    placed = (corners - [1, 1, 0.5]) * 0.9
    expected = np.linalg.norm(grid[:, None] - placed, axis=-1).min(axis=1).clip(0, 1)
    for suffix in ('ply', 'obj'):
        values = UNSIGNED_DISTANCE.read(tmp_path / f'cloud.{suffix}', **CELL).values
        np.testing.assert_allclose(values.ravel(), expected, atol=1e-5)


def test_a_mesh_opens_no_file_that_it_names(tmp_path, monkeypatch):
    content = ball(tmp_path / 'ball.obj').read_text()
    (tmp_path / 'secret.mtl').write_text('newmtl a\nmap_Kd secret.png\n')
    (tmp_path / 'a.obj').write_text(f'mtllib secret.mtl\nusemtl a\n{content}')
    opened, plain = [], io.open

    def noting(file, *more, **options):
        opened.append(str(file))
        return plain(file, *more, **options)

    for module in (builtins, io):
        monkeypatch.setattr(module, 'open', noting)
    OCCUPANCY.read(tmp_path / 'a.obj', **CELL)
    assert str(tmp_path / 'a.obj') in opened
    assert not [name for name in opened if 'secret' in name]


def test_what_is_no_shape_is_said(tmp_path):
    (tmp_path / 'point.obj').write_text('v 1 2 3\nv 1 2 3\n')
    with pytest.raises(InputError, match='no extent'):
        UNSIGNED_DISTANCE.read(tmp_path / 'point.obj')
    nothing = np.zeros((4, 4, 4, 1), np.float32)
    with pytest.raises(InputError, match='no solid'):
        OCCUPANCY.write(tmp_path / 'a.obj', nothing, {'data_range': (0.0, 1.0)})
    with pytest.raises(InputError, match='cells, more than'):
        OCCUPANCY.read(ball(tmp_path / 'ball.obj'), spacing=(0.001, 0.001, 0.001))
