"""The dense encoder: its linear path, and what it sees of masked points."""

import jax
import numpy as np
import pytest

from hyperinr import encoders
from tests import tiny


def make(**options):
    """An encoder, its parameters and a datapoint."""
    spec = tiny.make_spec(grid_shape=(4, 3))
    encoder = encoders.dense(spec=spec, **{'embedding_dims': 5, **options})
    datapoint = tiny.Waves(spec, 1)[0]
    return encoder, jax.jit(encoder.init)(jax.random.key(0), datapoint), datapoint


def test_without_blocks_it_is_a_linear_map_of_the_scaled_values():
    encoder, params, datapoint = make(num_blocks=0)
    low, high = tiny.make_spec(grid_shape=(4, 3)).data_range
    scaled = 2 * (datapoint.values.reshape(-1) - low) / (high - low) - 1
    expected = scaled @ params['values']['w'] + params['values']['b']
    np.testing.assert_allclose(encoder.apply(params, datapoint), expected, atol=1e-5)


def test_blocks_start_close_to_the_identity_and_are_seen():
    encoder, params, datapoint = make(num_blocks=2, embedding_dims=64)
    plain, _, _ = make(num_blocks=0, embedding_dims=64)
    linear = plain.apply({name: params[name] for name in ('values', 'missing')}, datapoint)
    found = encoder.apply(params, datapoint)
    assert 1e-4 < np.std(found - linear) < 0.3 * np.std(linear)


def test_a_masked_point_may_hold_anything_but_is_seen_to_be_missing():
    encoder, params, datapoint = make()
    weight = np.ones(12, np.float32)
    weight[[3, 7]] = 0
    masked = datapoint._replace(weight=weight)
    values = datapoint.values.copy()
    values[3], values[7] = np.nan, 1e6
    found = encoder.apply(params, masked._replace(values=values))
    np.testing.assert_array_equal(found, encoder.apply(params, masked))
    middle = np.float32(sum(tiny.make_spec(grid_shape=(4, 3)).data_range) / 2)
    zeroed = datapoint._replace(values=np.where(weight[:, None] > 0, datapoint.values, middle))
    assert np.abs(found - encoder.apply(params, zeroed)).max() > 1e-4


def test_what_it_refuses():
    with pytest.raises(ValueError, match='use encoders.set_encoder'):
        encoders.dense(spec=tiny.make_spec(grid_shape=(4, 3))._replace(grid_shape=None))
    with pytest.raises(ValueError, match='num_blocks'):
        encoders.dense(spec=tiny.make_spec(grid_shape=(4, 3)), num_blocks=-1)
