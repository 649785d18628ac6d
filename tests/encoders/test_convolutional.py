"""The convolutional encoder: what it looks at, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import encoders
from tests import tiny


def make(spec=None, **options):
    """An encoder, its parameters and a datapoint."""
    spec = spec or tiny.make_spec(grid_shape=(8, 6))
    sizes = {'embedding_dims': 5, 'base_channels': 4, 'num_stages': 1, **options}
    encoder = encoders.convolutional(spec=spec, **sizes)
    datapoint = tiny.Waves(spec, 1)[0]
    return encoder, jax.jit(encoder.init)(jax.random.key(0), datapoint), datapoint


def test_a_masked_point_may_hold_anything_but_is_seen_to_be_missing():
    encoder, params, datapoint = make()
    weight = np.ones(48, np.float32)
    weight[[3, 20]] = 0
    masked = datapoint._replace(weight=weight)
    values = datapoint.values.copy()
    values[3], values[20] = np.nan, 1e6
    found = encoder.apply(params, masked._replace(values=values))
    np.testing.assert_array_equal(found, encoder.apply(params, masked))
    zeroed = datapoint._replace(values=np.where(weight[:, None] > 0, datapoint.values, 0.5).astype(np.float32))
    assert np.abs(found - encoder.apply(params, zeroed)).max() > 1e-4


def test_an_importance_does_not_change_what_is_seen():
    encoder, params, datapoint = make()
    heavier = datapoint._replace(weight=np.linspace(0.1, 9, 48, dtype=np.float32))
    np.testing.assert_array_equal(encoder.apply(params, heavier), encoder.apply(params, datapoint))


@pytest.mark.parametrize('grid_shape', [(4, 10), (12,), (4, 6, 8)])
def test_the_first_feature_looks_at_one_corner_of_a_grid(grid_shape):
    """An exchange of axes would spread its points over the grid."""
    encoder, params, datapoint = make(tiny.make_spec(grid_shape=grid_shape), blocks_per_stage=0)
    params['embedding']['w'] = jnp.zeros_like(params['embedding']['w']).at[0, 0].set(1)

    def corner(values):
        return encoder.apply(params, datapoint._replace(values=values))[0]

    seen = np.abs(jax.jit(jax.grad(corner))(datapoint.values)).sum(-1).reshape(grid_shape) > 0
    expected = np.zeros(grid_shape, bool)
    expected[(slice(3),) * len(grid_shape)] = True
    np.testing.assert_array_equal(seen, expected)


def test_where_things_are_is_kept():
    encoder, params, datapoint = make()
    flipped = datapoint._replace(values=datapoint.values.reshape(8, 6, 3)[::-1].reshape(48, 3))
    assert np.abs(encoder.apply(params, flipped) - encoder.apply(params, datapoint)).max() > 1e-3


def test_the_data_range_only_sets_the_units():
    encoder, params, datapoint = make()
    bytes_encoder, _, _ = make(tiny.make_spec(grid_shape=(8, 6), data_range=(-5.0, 250.0)))
    in_bytes = datapoint._replace(values=255 * datapoint.values - 5)
    found, expected = bytes_encoder.apply(params, in_bytes), encoder.apply(params, datapoint)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_fresh_residual_block_is_the_identity():
    """Its last convolution is zero, so that depth costs nothing at the start."""
    encoder, params, datapoint = make(blocks_per_stage=2)
    plain, _, _ = make(blocks_per_stage=0)
    shared = {name: params[name] for name in jax.eval_shape(plain.init, jax.random.key(0), datapoint)}
    np.testing.assert_array_equal(encoder.apply(params, datapoint), plain.apply(shared, datapoint))


def test_sizes_are_those_asked_for():
    spec = tiny.make_spec(grid_shape=(8, 6))
    encoder = encoders.convolutional(spec=spec, embedding_dims=7, base_channels=6, num_stages=3, blocks_per_stage=2)
    params = jax.eval_shape(encoder.init, jax.random.key(0), tiny.Waves(spec, 1)[0])
    assert params['embedding']['w'].shape[1] == 7
    assert [params[f'stage_{stage}']['w'].shape[-1] for stage in range(3)] == [6, 12, 24]
    assert sum(name.endswith('conv_1') for name in params) == 6


@pytest.mark.parametrize('grid_shape', [None, (3, 2, 2, 1)])
def test_what_cannot_be_convolved_is_refused_with_the_remedy(grid_shape):
    spec = tiny.make_spec(grid_shape=grid_shape or (12,))._replace(grid_shape=grid_shape)
    with pytest.raises(ValueError, match='grid of 1 to 3 axes.*encoders.set_encoder'):
        encoders.convolutional(spec=spec)


@pytest.mark.parametrize('name', ['embedding_dims', 'base_channels', 'num_stages'])
def test_wrong_sizes_are_named(name):
    with pytest.raises(ValueError, match=f'{name}=0'):
        encoders.convolutional(spec=tiny.make_spec(), **{name: 0})
