"""What every encoder promises, for each row of `tests/parts.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import parts
from tests.promises import (
    KEY,
    all_finite,
    assert_close,
    assert_rows_independent,
    moved,
    partly_hidden,
    rows,
    shapes,
    take,
    unreached,
)


@functools.cache
def encoder_of(name):
    encoder = parts.ENCODERS[name](parts.SPEC)
    return encoder, jax.jit(encoder.init)(KEY, take(parts.datapoints(), 0))


@rows(parts.ENCODERS, ('set_encoder', 'residual', 'set_transformer'))
def test_an_encoder_under_jit_vmap_and_grad(name):
    encoder, params = encoder_of(name)
    batch = parts.datapoints()
    apply = jax.jit(encoder.apply)
    expected = jnp.stack([apply(params, take(batch, row)) for row in range(4)])
    assert expected.ndim == 2
    assert expected.dtype == jnp.float32
    assert_close(jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, batch), expected)
    assert_close(encoder.apply(params, take(batch, 2)), expected[2])
    seen = partly_hidden(take(batch, 0))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(encoder.apply(p, seen) ** 2)))(moved(params))
    assert all_finite(gradient)
    assert shapes(gradient) == shapes(params)
    assert not unreached(gradient)


@rows(parts.ENCODERS)
def test_an_encoder_ignores_what_points_without_weight_hold(name):
    encoder, params = encoder_of(name)
    datapoint = take(parts.datapoints(), 0)
    weight, values = datapoint.weight.copy(), datapoint.values.copy()
    weight[10:20], values[10:20] = 0, np.nan
    apply = jax.jit(encoder.apply)
    found = apply(params, datapoint._replace(weight=weight, values=values))
    np.testing.assert_array_equal(found, apply(params, datapoint._replace(weight=weight)))


@pytest.mark.exhaustive
@rows({name: row for name, row in parts.ENCODERS.items() if name != 'constant'})
def test_an_encoder_sees_each_datapoint_alone(name):
    encoder, params = encoder_of(name)
    assert_rows_independent(jax.jit(lambda batch: jax.vmap(encoder.apply, (None, 0))(params, batch)))
