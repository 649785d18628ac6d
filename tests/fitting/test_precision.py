"""Products of rounded factors, in the function and in its gradient; everything else untouched."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting
from hyperinr.errors import InputError
from hyperinr.fitting.precision import bfloat16_products
from tests.fitting.problems import SIREN, batch, starts


def rounded(x):
    """To 8 bits of mantissa, to even, in NumPy."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


@jax.custom_jvp
def cube(x):
    return x**3


cube.defjvps(lambda tangent, primal, x: 3 * x**2 * tangent)


def function(a, b):
    hidden = jax.jit(lambda a, b: a @ b)(a, b)
    return jnp.sum(cube(hidden)), jnp.float32(1) + jnp.sum(a)


def test_function_and_gradient_multiply_rounded_factors():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    both = bfloat16_products(jax.value_and_grad(function, argnums=(0, 1), has_aux=True))
    for run in (
        both,
        jax.jit(both),
        lambda *x: jax.tree.map(lambda leaf: leaf[0], jax.vmap(both)(*(y[None] for y in x))),
    ):
        (value, aux), gradients = run(a, b)
        hidden = rounded(a) @ rounded(b)
        outward = rounded(3 * hidden.astype(np.float32) ** 2)
        np.testing.assert_allclose(value, (hidden**3).sum(), rtol=1e-4)
        np.testing.assert_allclose(aux, 1 + a.sum(), rtol=1e-6)
        np.testing.assert_allclose(gradients[0], outward @ rounded(b).T, rtol=2e-3, atol=1e-2)
        np.testing.assert_allclose(gradients[1], rounded(a).T @ outward, rtol=2e-3, atol=1e-2)
        assert abs(value - ((a.astype(np.float64) @ b) ** 3).sum()) > 1e-3 * abs(value)


@pytest.mark.exhaustive
def test_a_fit_in_bfloat16_differs_and_still_fits():
    weights, datapoints = starts(SIREN, 2), batch(2)
    run = lambda precision: fitting.fit(
        SIREN, weights, datapoints, optimizer=optax.adam(2e-3), num_steps=60, precision=precision
    )
    single, half = run('float32'), run('bfloat16')
    assert np.abs(single.mse[:, 0] - half.mse[:, 0]).max() > 1e-5
    assert (half.mse[:, -1] < 0.5 * half.mse[:, 0]).all()
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(dict(half.weights)))


def test_an_unknown_precision_is_named():
    with pytest.raises(InputError, match='float16'):
        fitting.fit(SIREN, starts(SIREN, 1), batch(1), optimizer=optax.sgd(0.1), num_steps=1, precision='float16')
