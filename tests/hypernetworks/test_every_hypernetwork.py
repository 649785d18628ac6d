"""What every hypernetwork promises, for each row of `tests/parts.py`."""

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
    shapes_of_init,
    take,
    unreached,
)


@functools.cache
def hypernetwork_of(name):
    hypernetwork = parts.make_hypernetwork(**parts.HYPERNETWORKS[name])
    return hypernetwork, jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(), 0))


@rows(parts.HYPERNETWORKS)
def test_a_hypernetwork_emits_what_its_inr_takes_at_rates_that_fit_its_code(name):
    hypernetwork, params = hypernetwork_of(name)
    inr = parts.INRS['relu_mlp' if 'relu_mlp' in name else 'siren']()

    @jax.jit
    def emit(params, datapoint):
        start = hypernetwork.encode(params, datapoint)
        return start, hypernetwork.decode(params, start.code)

    start, weights = emit(params, take(parts.datapoints(), 0))
    assert shapes(weights) == shapes_of_init(inr)
    assert all_finite(weights)
    if hypernetwork.base is not None:
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), hypernetwork.base(params)) == shapes_of_init(inr)
    assert jax.tree.structure(start.rates) == jax.tree.structure(start.code)
    for rate, leaf in zip(jax.tree.leaves(start.rates), jax.tree.leaves(start.code), strict=True):
        assert np.broadcast_shapes(rate.shape[1:], leaf.shape) == leaf.shape
        assert (rate > 0).all()


@pytest.mark.exhaustive
@rows(parts.HYPERNETWORKS)
def test_a_hypernetwork_under_jit_vmap_and_grad(name):
    hypernetwork, params = hypernetwork_of(name)
    batch = parts.datapoints()
    encode = jax.jit(hypernetwork.encode)
    expected = [encode(params, take(batch, row)) for row in range(4)]
    assert_close(hypernetwork.encode(params, take(batch, 3)), expected[3])
    batched = jax.jit(jax.vmap(hypernetwork.encode, (None, 0)))(params, batch)
    assert_close(batched, jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected))

    def emitted(params):
        start = hypernetwork.encode(params, partly_hidden(take(batch, 0)))
        # Beside the start, where a latent of zeros would hide the map from it to the weights.
        code = jax.tree.map(lambda leaf: leaf + 0.1, start.code)
        leaves = jax.tree.leaves((hypernetwork.decode(params, code), start.rates))
        return sum(jnp.sum(leaf**2) for leaf in leaves)

    gradient = jax.jit(jax.grad(emitted))(moved(params))
    assert all_finite(gradient)
    assert not unreached(gradient)


@pytest.mark.exhaustive
@rows({name: row for name, row in parts.HYPERNETWORKS.items() if 'constant' not in name})
def test_a_hypernetwork_sees_each_datapoint_alone(name):
    hypernetwork, params = hypernetwork_of(name)
    assert_rows_independent(jax.jit(lambda batch: jax.vmap(hypernetwork.encode, (None, 0))(params, batch).code))
