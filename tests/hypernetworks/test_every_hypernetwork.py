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
    shapes_of_init,
    take,
    unreached,
)

FEW = ('low rank', 'multiplicative')
"""Those that `make test` runs; `make test-all` runs every row."""


@functools.cache
def hypernetwork_of(name):
    hypernetwork = parts.make_hypernetwork(**parts.HYPERNETWORKS[name])
    return hypernetwork, jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(), 0))


@rows(parts.HYPERNETWORKS)
def test_a_hypernetwork_emits_what_its_inr_takes_at_rates_that_fit_its_code(name):
    hypernetwork = parts.make_hypernetwork(**parts.HYPERNETWORKS[name])
    inr = parts.INRS['relu_mlp' if 'relu_mlp' in name else 'siren']()
    of = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    datapoint = take(parts.datapoints(), 0)
    params = jax.eval_shape(hypernetwork.init, KEY, datapoint)
    start = jax.eval_shape(hypernetwork.encode, params, datapoint)
    assert of(jax.eval_shape(hypernetwork.decode, params, start.code)) == shapes_of_init(inr)
    if hypernetwork.base is not None:
        assert of(jax.eval_shape(hypernetwork.base, params)) == shapes_of_init(inr)
    assert jax.tree.structure(start.rates) == jax.tree.structure(start.code)
    for rate, leaf in zip(jax.tree.leaves(start.rates), jax.tree.leaves(start.code), strict=True):
        assert np.broadcast_shapes(rate.shape[1:], leaf.shape) == leaf.shape


@rows(parts.HYPERNETWORKS, FEW)
def test_fresh_weights_are_finite_and_rates_positive(name):
    hypernetwork, params = hypernetwork_of(name)
    start = jax.jit(hypernetwork.encode)(params, take(parts.datapoints(), 0))
    assert all_finite(jax.jit(hypernetwork.decode)(params, start.code))
    assert all((rate > 0).all() for rate in jax.tree.leaves(start.rates))


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
