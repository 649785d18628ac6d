"""What only a GPU can show. `benchmarks.on_gpu` runs these there and makes visible the GPU that conftest.py hides."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.on_gpu import numerics
from hyperinr import fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.fitting.kernels.siren import compiles_here
from tests.fitting.problems import SIREN, adam_in_double_precision, batch, starts, take

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(jax.default_backend() != 'gpu', reason='needs a GPU: python -m benchmarks.on_gpu, docs/gpu.md'),
]


@pytest.mark.parametrize('kernel', ['xla', 'pallas'])
def test_a_fit_is_adams_algorithm(kernel):
    """Against every formula written out in float64: 20 steps, so that rounding has not yet grown."""
    weights, datapoints = starts(SIREN, 3), batch(3)
    with jax.default_matmul_precision('highest'):
        found = fitting.fit(
            SIREN,
            weights,
            datapoints,
            optimizer=optax.adam(1e-3),
            num_steps=20,
            batching=fitting.Batching('vmapped', 2, 1, kernel=kernel),
        )
    for row in range(3):
        expected, errors = adam_in_double_precision(
            take(weights, row), take(datapoints, row), num_steps=20, learning_rate=1e-3
        )
        np.testing.assert_allclose(found.mse[row], errors, rtol=1e-3)
        for layer, tensors in expected.items():
            for name, leaf in tensors.items():
                np.testing.assert_allclose(found.weights[layer][name][row], leaf, atol=2e-4)


@pytest.mark.parametrize('width', [16, 32, 64])
def test_the_kernel_compiles_and_is_as_exact_as_xla(width):
    inr = inrs.siren(channels=3, width=width)
    spec = weights_lib.spec_of(inr.init(jax.random.key(0), 2))
    assert compiles_here(inr.metadata, spec)
    errors = numerics.kernel_errors(width, num_points=100, interpret=False)
    assert errors['kernel_relative_error'] < max(1e-5, 3 * errors['xla_relative_error'])


def test_an_automatic_fit_is_batched_and_takes_the_kernel():
    rules = fitting.FitRules(10)
    inr = inrs.siren(channels=3, width=32)
    chosen = fitting.automatic_batching(inr, starts(inr, 5), batch(5), rules=rules)
    assert (chosen.kind, chosen.kernel, chosen.group_size) == ('vmapped', 'pallas', 5)


@pytest.mark.parametrize(('precision', 'most'), [('float32', 1e-4), ('tf32', 3e-2)])
def test_a_meta_gradient_is_that_of_the_cpu(precision, most):
    assert numerics.meta_gradient_error(precision, side=16) < most


def test_the_sine_is_exact():
    assert numerics.sine_error() < 1e-5


def test_products_are_tf32_unless_float32_is_asked_for():
    """docs/gpu.md says so; if jax changes its mind, the page must."""
    a = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    exact = a.astype(np.float64) @ a

    def error(precision):
        with jax.default_matmul_precision(precision):
            return np.abs(np.asarray(jax.jit(jnp.dot)(a, a)) - exact).max() / np.abs(exact).max()

    assert error('highest') < 1e-6
    assert 1e-5 < error('default') < 1e-2
