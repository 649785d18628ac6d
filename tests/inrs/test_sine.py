"""The fast sine and cosine against NumPy in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from hyperinr.inrs.sine import cosine, sine

FUNCTIONS = [(sine, np.sin), (cosine, np.cos)]
BOUND = 2e-7
"""What the docstring says; measured 1.5e-7 within 200 when compiled, 1.8e-7 at the worst."""
DERIVATIVES = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]


def samples(limit, number=200_001):
    """Evenly spaced numbers and the neighbours of the zeros and extrema, where a range reduction goes wrong first."""
    special = np.arange(-int(2 * limit / np.pi), int(2 * limit / np.pi) + 1) * (np.pi / 2)
    around = [np.nextafter(np.float32(special), np.float32(end)) for end in (-np.inf, np.inf)]
    return np.concatenate([np.linspace(-limit, limit, number), special, *around]).astype(np.float32)


@pytest.mark.parametrize('limit', [200, 1e4])
@pytest.mark.parametrize(('function', 'reference'), FUNCTIONS)
@pytest.mark.parametrize('wrap', [jax.jit, lambda function: function], ids=['jit', 'eager'])
def test_accuracy(function, reference, limit, wrap):
    x = samples(limit)
    error = np.abs(np.asarray(wrap(function)(x), np.float64) - reference(x.astype(np.float64)))
    assert error.max() <= BOUND


@pytest.mark.parametrize('order', [1, 2, 3, 4])
def test_derivatives_of_every_order(order):
    function = sine
    for _ in range(order):
        function = jax.grad(function)
    x = samples(200, 20_001)
    error = np.abs(
        np.asarray(jax.jit(jax.vmap(function))(x), np.float64) - DERIVATIVES[order % 4](x.astype(np.float64))
    )
    assert error.max() <= BOUND


@pytest.mark.parametrize('function', [sine, cosine])
def test_forward_and_reverse_modes_agree_with_finite_differences(function):
    """Tolerances are those of differences in float32."""
    check_grads(
        function, (np.float32([0.3, -2.0, 5.5]),), order=3, modes=['fwd', 'rev'], eps=1e-2, atol=2e-2, rtol=2e-2
    )


@pytest.mark.parametrize(('function', 'reference'), FUNCTIONS)
def test_singular_inputs(function, reference):
    with np.errstate(invalid='ignore'):
        x = np.float32([0.0, -0.0, np.nan])
        np.testing.assert_array_equal(np.asarray(function(x)), reference(x))
        assert np.isnan(np.asarray(function(np.float32([np.inf, -np.inf])))).all()


@pytest.mark.parametrize(('function', 'reference'), FUNCTIONS)
def test_double_precision_is_kept(function, reference):
    with jax.enable_x64(True):
        x = jnp.linspace(-50, 50, 1001, dtype=jnp.float64)
        found = function(x)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, reference(np.asarray(x)), atol=1e-14)


def test_python_numbers_and_any_shape():
    assert float(sine(1)) == pytest.approx(np.sin(1), abs=1e-6)
    assert sine(jnp.ones((2, 0, 3))).shape == (2, 0, 3)
