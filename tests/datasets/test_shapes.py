"""Solids and meshes: distances against closed forms and brute force, points where they should be."""

import shutil

import jax
import numpy as np
import pytest

from hyperinr import datasets
from hyperinr.datasets.shapes import PointRule, draw_pool, draw_probe
from hyperinr.datasets.solids import FAMILIES, Solid
from hyperinr.errors import InputError
from tests.datasets.sources import each_damaged, write_meshes

RULE = PointRule(200, 0.5, 0.02, 'occupancy', 1.0)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_solids_distance_is_that_to_its_nearest_surface_point(family):
    rng = np.random.default_rng(1)
    solid = Solid(family, np.random.default_rng(0))
    surface = solid.surface(rng, 20000)
    np.testing.assert_allclose(solid.signed_distance(surface), 0, atol=1e-4)
    assert np.abs(surface).max() < 1
    points = rng.uniform(-1, 1, (40, 3))
    nearest = np.linalg.norm(points[:, None] - surface, axis=-1).min(axis=1)
    distance = solid.signed_distance(points)
    assert np.all(np.abs(distance) <= nearest + 1e-4)
    np.testing.assert_allclose(np.abs(distance), nearest, atol=0.05)
    assert not solid.inside(np.array([[0.99, 0.99, 0.99]])).any()
    assert solid.inside(rng.uniform(-1, 1, (5000, 3))).mean() > 0.005


def test_the_volume_of_a_sphere_is_that_of_the_formula():
    solid = Solid('sphere', np.random.default_rng(3))
    radius = np.random.default_rng(3).uniform(0.3, 0.7)
    share = solid.inside(np.random.default_rng(0).uniform(-1, 1, (200000, 3))).mean()
    np.testing.assert_allclose(8 * share, 4 / 3 * np.pi * radius**3, rtol=0.05)


def test_points_are_half_uniform_and_half_near_the_surface():
    solid = Solid('box', np.random.default_rng(0))
    points, values = draw_pool(solid, RULE, np.random.default_rng(1))
    assert points.shape == (800, 3)
    near = np.abs(solid.signed_distance(points)) < 0.06
    assert 0.5 <= near.mean() < 0.75
    far, _ = draw_pool(solid, RULE._replace(near_fraction=0.0), np.random.default_rng(1))
    assert (np.abs(solid.signed_distance(far)) < 0.06).mean() < 0.3
    np.testing.assert_array_equal(values[:, 0], solid.signed_distance(points.astype(float)) < 0)


def test_a_probe_measures_volumes_whatever_its_box():
    """The volume of a capsule to 3 %, with more points inside than its share of the cube."""
    solid = Solid('capsule', np.random.default_rng(5))
    rng = np.random.default_rng(5)
    half, radius = rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.3)
    volume = 2 * half * np.pi * radius**2 + 4 / 3 * np.pi * radius**3
    points, _, weight = draw_probe(solid, RULE, np.random.default_rng(0))
    inside = solid.inside(points)
    np.testing.assert_allclose(8 * weight[inside].sum() / weight.sum(), volume, rtol=0.03)
    assert inside.mean() > 3 * volume / 8
    np.testing.assert_allclose(8 * weight[points[:, 0] > 0].sum() / weight.sum(), 4, rtol=0.05)


def test_probes_have_points_of_their_own_for_every_draw():
    source = datasets.solids(num_train=1, num_points=50, quantity='signed_distance').splits['train']
    first, again, other = source.probe(0), source.probe(0), source.probe(0, 1)
    np.testing.assert_array_equal(first.coords, again.coords)
    assert not (first.coords == other.coords).all(axis=1).any()
    np.testing.assert_array_equal(first.values, source.evaluate(0, first.coords))
    np.testing.assert_allclose(source.evaluate(0, source.surface(0, 30)), 0, atol=1e-4)
    np.testing.assert_array_equal(source.surface(0, 30), source.surface(0, 30))


def test_signed_distances_are_clipped_and_labels_are_families():
    dataset = datasets.solids(num_train=7, quantity='signed_distance', truncation=0.1, num_points=50)
    source = dataset.splits['train']
    assert dataset.spec.data_range == (-0.1, 0.1)
    assert source.labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    coords = source[3].coords
    solid = Solid('capsule', np.random.default_rng([0, 0, 3, 0]))
    np.testing.assert_allclose(source[3].values[:, 0], np.clip(solid.signed_distance(coords), -0.1, 0.1), atol=1e-6)
    np.testing.assert_array_equal(source.evaluate(3, coords), source[3].values)


def test_meshes_are_scaled_cached_and_classed_by_folder(tmp_path, monkeypatch):
    pytest.importorskip('trimesh')
    pytest.importorskip('igl')
    write_meshes(tmp_path / 'meshes')
    options = {'path': str(tmp_path / 'meshes'), 'num_points': 30, 'data_dir': str(tmp_path / 'cache')}
    dataset = datasets.mesh_folder(**options)
    first, probe = dataset.splits['train'][0], dataset.splits['train'].probe(0)
    assert {name: len(source) for name, source in dataset.splits.items()} == {'train': 8, 'validation': 1, 'test': 1}
    for source in dataset.splits.values():
        for index in range(len(source)):
            assert source.labels[index] == ('diamonds' in source.names(index))
    from hyperinr.datasets import meshes

    monkeypatch.setattr(meshes, 'read_mesh', lambda path: pytest.fail('the cache was not used'))
    kept = datasets.mesh_folder(**options).splits['train']
    for before, after in ((first, kept[0]), (probe, kept.probe(0))):
        jax.tree.map(np.testing.assert_array_equal, before, after)
    assert len(probe.coords) > len(first.coords)


def test_damaged_points_of_a_mesh_are_made_again(tmp_path):
    pytest.importorskip('trimesh')
    pytest.importorskip('igl')
    write_meshes(tmp_path / 'meshes', count=3)
    options = {'path': str(tmp_path / 'meshes'), 'num_points': 30, 'data_dir': str(tmp_path / 'cache')}
    first = datasets.mesh_folder(**options).splits['train'][0]
    kept = {path: path.read_bytes() for path in (tmp_path / 'cache' / 'meshes').iterdir()}
    assert kept
    for damage in each_damaged(tmp_path / 'cache' / 'meshes'):
        again = datasets.mesh_folder(**options).splits['train'][0]
        jax.tree.map(np.testing.assert_array_equal, first, again)
        for path in kept:
            with np.load(path) as archive:  # Whole again.
                assert archive.files, damage
    source = datasets.mesh_folder(**options).splits['train']
    (tmp_path / 'meshes' / source.names(0)).unlink()
    with pytest.raises(InputError, match='there is no mesh file'):
        source[0]


def test_a_folder_of_meshes_is_listed_as_one_of_images_and_may_move(tmp_path, caplog):
    write_meshes(tmp_path / 'a')
    (tmp_path / 'a' / '.hidden.obj').write_text('no mesh')
    (tmp_path / 'a' / 'notes.txt').write_text('no mesh')
    (tmp_path / 'a' / 'loop').symlink_to('.')
    open_folder = lambda name: datasets.mesh_folder(path=str(tmp_path / name), data_dir=str(tmp_path / 'cache'))
    before = open_folder('a')
    assert sum(len(source) for source in before.splits.values()) == 10
    assert f'{tmp_path}/a: 3 not read: hidden (1), .txt (1), read under another name (1)' in caplog.text
    shutil.copytree(tmp_path / 'a', tmp_path / 'b', symlinks=True)
    after = open_folder('b')
    assert (after.spec, after.fingerprint) == (before.spec, before.fingerprint)
    shutil.copy(tmp_path / 'b' / 'boxes' / '1.obj', tmp_path / 'b' / 'boxes' / '3.obj')
    assert open_folder('b').fingerprint != before.fingerprint


def test_too_few_meshes_and_wrong_rules_are_one_clear_line(tmp_path):
    for name in ('one.obj', 'two.obj'):
        (tmp_path / name).write_text('')
    with pytest.raises(InputError, match='holds 2 meshes'):
        datasets.mesh_folder(path=str(tmp_path))
    with pytest.raises(InputError, match='near_fraction in'):
        datasets.solids(near_fraction=2.0)
    with pytest.raises(InputError, match='quantity must be'):
        datasets.solids(quantity='colour')
