"""What every INR promises, for each row of `tests/parts.py`."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import weights as weights_lib
from hyperinr.files import read_weights, write_weights
from tests import parts
from tests.exhaustive import thin
from tests.promises import (
    KEY,
    all_finite,
    assert_close,
    assert_equal,
    rows,
    size,
    take,
)

FEW = ('siren', 'wire')


@functools.cache
def inr_of(name):
    inr = parts.INRS[name]()
    return inr, jax.jit(inr.init, static_argnums=1)(KEY, 2)


@pytest.mark.exhaustive
@rows(parts.INRS)
@pytest.mark.parametrize('coord_dims', [1, 2, 3])
def test_an_inr_takes_coordinates_of_any_dimension(name, coord_dims):
    inr = parts.INRS[name]()
    weights = jax.jit(inr.init, static_argnums=1)(KEY, coord_dims)
    coords = np.random.default_rng(0).uniform(-1, 1, (7, coord_dims)).astype(np.float32)
    values = inr.apply(weights, coords)
    assert values.shape == (7, 3)
    assert values.dtype == jnp.float32
    assert np.isfinite(values).all()
    assert np.std(values, axis=0).min() > 0


@pytest.mark.exhaustive
@rows(parts.INRS)
def test_an_inr_is_a_function_of_its_key(name):
    inr, weights = inr_of(name)
    assert_close(inr.init(KEY, 2), weights, rtol=1e-6, atol=1e-7)
    assert size(jax.tree.map(lambda a, b: a - b, inr.init(jax.random.key(1), 2), weights)) > 0


@rows(parts.INRS, FEW)
def test_an_inr_under_jit_vmap_and_grad(name):
    inr, weights = inr_of(name)
    coords = parts.datapoints().coords[0]
    expected = inr.apply(weights, coords)
    assert_close(jax.jit(inr.apply)(weights, coords), expected)
    many = jax.vmap(lambda key: inr.init(key, 2))(jax.random.split(KEY, 3))
    batched = jax.vmap(inr.apply, (0, None))(many, coords)
    assert_close(batched, jnp.stack([inr.apply(take(many, row), coords) for row in range(3)]))
    gradients = jax.jit(jax.grad(lambda w, x: jnp.sum(inr.apply(w, x) ** 2), argnums=(0, 1)))(weights, coords)
    assert all_finite(gradients)
    assert all(size(leaf) > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.exhaustive
@rows(parts.INRS)
def test_an_inr_has_finite_derivatives_where_coordinates_are_zero(name):
    inr, weights = inr_of(name)
    hessian = jax.jit(jax.hessian(lambda x: jnp.sum(inr.apply(weights, x[None]))))(jnp.zeros(2))
    assert all_finite(hessian)


@pytest.mark.exhaustive
@rows(parts.INRS)
def test_an_inr_treats_each_point_alone(name):
    inr, weights = inr_of(name)
    coords = parts.datapoints().coords[0]
    moved = coords.copy()
    moved[5] = 0.123
    before, after = np.asarray(inr.apply(weights, coords)), np.asarray(inr.apply(weights, moved))
    others = np.arange(len(coords)) != 5
    np.testing.assert_array_equal(after[others], before[others])
    assert np.abs(after[5] - before[5]).max() > 0
    order = np.random.default_rng(0).permutation(len(coords))
    np.testing.assert_allclose(inr.apply(weights, coords[order]), before[order], atol=1e-5)


@rows(parts.INRS, FEW)
@pytest.mark.parametrize('suffix', thin(['.npz', '.safetensors'], lambda suffix: suffix == '.npz'))
def test_an_inr_is_stored_exactly_with_what_its_reader_must_know(name, suffix, tmp_path):
    inr, weights = inr_of(name)
    assert json.loads(json.dumps(dict(inr.metadata))) == dict(inr.metadata)
    assert inr.metadata['kind'] in name
    write_weights(tmp_path / f'file{suffix}', weights, inr.metadata)
    back, metadata = read_weights(tmp_path / f'file{suffix}')
    assert_equal(back, weights)
    assert {key: metadata[key] for key in inr.metadata} == dict(inr.metadata)


@rows(parts.INRS, FEW)
def test_the_last_layer_of_an_inr_is_its_output_layer(name):
    """What hypernetworks and Muon rely on, see `hyperinr.types.Inr`."""
    inr, weights = inr_of(name)
    layers = weights_lib.spec_of(weights).layers
    linear = [layer for layer in layers if layer.startswith('layer_')]
    assert linear == [f'layer_{index}' for index in range(len(linear))]
    assert layers[-len(linear) :] == tuple(linear)
    for layer in linear:
        assert weights[layer]['b'].shape == weights[layer]['w'].shape[1:]
    last = {**weights[layers[-1]], 'b': weights[layers[-1]]['b'] + jnp.arange(3.0)}
    coords = np.random.default_rng(0).uniform(-1, 1, (7, 2)).astype(np.float32)
    shifted = inr.apply({**weights, layers[-1]: last}, coords)
    assert_close(shifted, inr.apply(weights, coords) + jnp.arange(3.0)[None, :])


@rows(parts.INRS)
def test_an_inr_flattens_and_comes_back_exactly(name):
    _, weights = inr_of(name)
    spec = weights_lib.spec_of(weights)
    assert_equal(weights_lib.unflatten(weights_lib.flatten(weights, spec), spec), weights)
