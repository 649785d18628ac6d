"""Encoders with tokens: sets in any order, points that do not count, patches that stay in their places."""

import jax
import numpy as np
import pytest

from hyperinr import encoders
from hyperinr.types import Datapoint
from tests import tiny

SPEC = tiny.make_spec(grid_shape=(12,), channels=2)._replace(grid_shape=None)
SET = encoders.set_transformer(
    spec=SPEC, embedding_dims=12, num_tokens=3, width=8, depth=1, num_heads=2, num_frequencies=2
)
GRID = tiny.make_spec(grid_shape=(4, 6), channels=2)
KEY = jax.random.key(0)


def points(number, seed=0):
    rng = np.random.default_rng(seed)
    return Datapoint(
        coords=rng.uniform(-1, 1, (number, 1)).astype(np.float32),
        values=rng.uniform(0, 1, (number, 2)).astype(np.float32),
        weight=rng.uniform(0.5, 2, number).astype(np.float32),
        index=np.int32(0),
    )


PARAMS = jax.jit(SET.init)(KEY, points(12))
APPLY = jax.jit(SET.apply)


def rows(datapoint, order):
    return datapoint._replace(**{name: getattr(datapoint, name)[order] for name in ('coords', 'values', 'weight')})


def embed(datapoint):
    return np.asarray(APPLY(PARAMS, datapoint))


@pytest.mark.parametrize('seed', range(5))
def test_the_order_of_the_points_does_not_matter(seed):
    order = np.random.default_rng(seed).permutation(12)
    np.testing.assert_allclose(embed(rows(points(12), order)), embed(points(12)), atol=1e-5)


def test_other_points_are_another_embedding():
    assert np.abs(embed(points(12)) - embed(points(12, seed=1))).max() > 1e-2
    assert np.abs(embed(points(12)) - embed(rows(points(12), np.arange(11)))).max() > 1e-4


@pytest.mark.parametrize('content', [np.nan, np.inf, 1e30])
def test_points_without_weight_are_not_there_whatever_they_hold(content):
    whole = points(12)
    whole.weight[7:] = 0
    whole.values[7:] = content
    whole.coords[8] = content
    np.testing.assert_allclose(embed(whole), embed(rows(points(12), np.arange(7))), atol=1e-5)
    gradient = jax.jit(jax.grad(lambda params: SET.apply(params, whole).sum()))(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_no_points_at_all_are_an_embedding_too():
    empty = points(12)._replace(weight=np.zeros(12, np.float32))
    assert np.isfinite(embed(empty)).all()
    np.testing.assert_allclose(embed(empty), embed(rows(empty, np.arange(5))), atol=1e-6)


def image(seed=0):
    rng = np.random.default_rng(seed)
    return Datapoint(
        coords=np.zeros((24, 2), np.float32),
        values=rng.uniform(0, 1, (24, 2)).astype(np.float32),
        weight=np.ones(24, np.float32),
        index=np.int32(0),
    )


def test_a_patch_is_a_square_of_neighbours_and_owns_its_part_of_the_embedding():
    """Without blocks that mix tokens, a pixel changes the numbers of its own patch alone."""
    encoder = encoders.patch_transformer(spec=GRID, embedding_dims=24, patch_size=2, width=8, depth=1, num_heads=2)
    params = jax.device_get(jax.jit(encoder.init)(KEY, image()))
    for name in list(params):
        if name.startswith('block_') and (name.endswith('_out') or name.endswith('linear')):
            params[name] = jax.tree.map(np.zeros_like, params[name])
    apply = jax.jit(encoder.apply)
    before = np.asarray(apply(params, image())).reshape(6, 4)
    for row in range(4):
        for column in range(6):
            other = image()
            other.values[row * 6 + column] += 0.5
            changed = np.abs(np.asarray(apply(params, other)).reshape(6, 4) - before).max(axis=1) > 1e-6
            assert np.flatnonzero(changed).tolist() == [row // 2 * 3 + column // 2]


def test_an_axis_that_no_number_of_patches_fills_is_continued_by_masked_points():
    options = {'patch_size': 4, 'embedding_dims': 8, 'width': 8, 'depth': 1, 'num_heads': 2}
    larger = tiny.make_spec(grid_shape=(4, 8), channels=2)
    continued = Datapoint(np.zeros((32, 2), np.float32), np.zeros((4, 8, 2), np.float32), np.zeros((4, 8)), np.int32(0))
    continued.values[:, :6], continued.weight[:, :6] = image().values.reshape(4, 6, 2), 1
    continued = continued._replace(values=continued.values.reshape(32, 2), weight=continued.weight.reshape(32))
    params = jax.jit(encoders.patch_transformer(spec=GRID, **options).init)(KEY, image())
    found, expected = (
        jax.jit(encoders.patch_transformer(spec=spec, **options).apply)(params, datapoint)
        for spec, datapoint in ((GRID, image()), (larger, continued))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize('name', ['patch_transformer', 'residual'])
def test_a_masked_pixel_differs_from_a_grey_one(name):
    options = {
        'patch_transformer': {'embedding_dims': 24, 'patch_size': 2, 'width': 8, 'depth': 1, 'num_heads': 2},
        'residual': {'embedding_dims': 8, 'stage_channels': (4, 6), 'blocks_per_stage': 1},
    }[name]
    encoder = getattr(encoders, name)(spec=GRID, **options)
    params = jax.jit(encoder.init)(KEY, image())
    grey, masked = image(), image()
    grey.values[3], masked.weight[3] = 0.5, 0
    found = [np.asarray(jax.jit(encoder.apply)(params, each)) for each in (grey, masked)]
    assert np.abs(found[0] - found[1]).max() > 1e-5


def test_the_residual_network_has_the_stages_that_were_asked_for():
    """Two convolutions a block, a short cut where the shape changes, and a flattened map of 1 x 2 points at the end."""
    encoder = encoders.residual(spec=GRID, embedding_dims=5, stage_channels=(4, 6), blocks_per_stage=2)
    params = jax.eval_shape(encoder.init, KEY, image())
    shapes = {name: layer['w'].shape for name, layer in params.items() if 'w' in layer}
    assert sum('conv' in name for name in shapes) == 8
    assert [name for name in shapes if 'shortcut' in name] == ['stage_0_block_0_shortcut', 'stage_1_block_0_shortcut']
    assert shapes['stem'] == (3, 3, 3, 4)
    assert shapes['embedding'] == (1 * 2 * 6, 5)


@pytest.mark.parametrize(
    ('name', 'options', 'said'),
    [
        ('patch_transformer', {'patch_size': 2, 'embedding_dims': 20}, 'multiple of the 6 patches'),
        ('patch_transformer', {'num_heads': 3}, 'num_heads'),
        ('set_transformer', {'num_tokens': 5}, 'num_tokens must divide embedding_dims'),
        ('set_transformer', {'width': 0}, 'width'),
        ('residual', {'stage_channels': ()}, 'stage_channels'),
        ('residual', {'blocks_per_stage': 0}, 'blocks_per_stage'),
    ],
)
def test_wrong_sizes_are_named(name, options, said):
    with pytest.raises(ValueError, match=said):
        getattr(encoders, name)(spec=GRID, **options)


@pytest.mark.parametrize('name', ['patch_transformer', 'residual'])
def test_points_without_a_grid_are_refused(name):
    with pytest.raises(ValueError, match='set_transformer'):
        getattr(encoders, name)(spec=SPEC)
