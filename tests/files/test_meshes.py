"""Meshes: distances against the closed form of a box, and files that hold no closed mesh."""

import itertools

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.files.meshes import Mesh, read_mesh
from tests.datasets.sources import write_meshes

pytest.importorskip('igl')
pytest.importorskip('trimesh')


def box_triangles(half):
    triangles = []
    for axis, side in itertools.product(range(3), (-1, 1)):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        corner = lambda a, b, axis=axis, side=side, u=u, v=v: [
            {axis: side, u: a, v: b}[each] * half[each] for each in range(3)
        ]
        square = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)]
        square = square if side > 0 else square[::-1]
        triangles += [[square[0], square[1], square[2]], [square[0], square[2], square[3]]]
    return np.array(triangles)


def test_a_meshs_distance_is_that_of_the_closed_form_of_a_box():
    half = np.array([0.3, 0.5, 0.2])
    triangles = box_triangles(half)
    mesh = Mesh(triangles.reshape(-1, 3), np.arange(triangles.size // 3).reshape(-1, 3))
    points = np.random.default_rng(0).uniform(-1, 1, (300, 3))
    beyond = np.abs(points) - half
    expected = np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)
    np.testing.assert_allclose(mesh.signed_distance(points), expected, atol=1e-9)
    np.testing.assert_array_equal(mesh.inside(points), expected < 0)
    surface = mesh.surface(np.random.default_rng(0), 4000)
    on_top = np.abs(surface[:, 2] - half[2]) < 1e-9
    area = half[0] * half[1] / (2 * (half[0] * half[1] + half[1] * half[2] + half[0] * half[2]))
    np.testing.assert_allclose(on_top.mean(), area, atol=0.03)


def test_a_mesh_is_turned_the_right_side_out_and_fills_the_cube(tmp_path):
    write_meshes(tmp_path)
    mesh = read_mesh(tmp_path / 'boxes' / '1.obj')
    points = np.array([[0.0, 0, 0], [0.95, 0, 0], [0, 0, 0.89], [0, 0, 0.91]])
    assert mesh.inside(points).tolist() == [True, False, True, False]


def test_an_open_mesh_and_no_mesh_are_one_clear_line(tmp_path):
    (tmp_path / 'open.obj').write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    with pytest.raises(InputError, match='open.obj is not watertight: .*close its holes'):
        read_mesh(tmp_path / 'open.obj')
    (tmp_path / 'text.obj').write_text('no mesh')
    with pytest.raises(InputError, match='text.obj'):
        read_mesh(tmp_path / 'text.obj')
