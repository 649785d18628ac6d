"""The range test on a bowl, where the rates that descend are known."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr.errors import InputError
from hyperinr.fitting import optimizers
from hyperinr.fitting.rate_range import rate_range
from hyperinr.runtime.files import plain, write_json
from hyperinr.types import Datapoint, Inr

# The loss is b^2: descent at rate r multiplies b by 1 - 2 r, so it diverges beyond 1.
BOWL = Inr(
    init=lambda key, dims: {'layer_0': {'b': jnp.ones(1)}},
    apply=lambda weights, coords: jnp.broadcast_to(weights['layer_0']['b'], (coords.shape[0], 1)),
    metadata={},
)
STARTS = {'layer_0': {'b': np.array([[0.3], [0.7]], np.float32)}}
BATCH = Datapoint(
    np.zeros((2, 4, 2), np.float32), np.zeros((2, 4, 1), np.float32), np.ones((2, 4), np.float32), np.arange(2)
)


def test_the_curve_is_that_of_growing_rates_and_the_suggestion_descends():
    found = rate_range(BOWL, STARTS, BATCH, make=optax.sgd, lowest=1e-3, highest=100.0, num_steps=60)
    np.testing.assert_allclose(found.rates[[0, -1]], [1e-3, 100])
    factors = np.cumprod(1 - 2 * found.rates)
    expected = 0.3 * 0.7 * factors**2
    steady = slice(0, 20)
    np.testing.assert_allclose(found.mse[steady], expected[steady], rtol=1e-2)
    assert 0.03 < found.rate < 1
    assert found.mse[-1] > found.mse[0]


def heavy_ball(rate):
    """Gradient descent whose momentum is the last step, rate included."""

    def update(gradient, last, params=None):
        step = 0.5 * last - rate * gradient
        return step, step

    return optax.GradientTransformation(jnp.zeros_like, update)


@pytest.mark.parametrize(
    ('make', 'lowest', 'highest'),
    [
        (heavy_ball, 1e-3, 4.0),
        (lambda rate: optimizers.make('diagonal_curvature', rate, None), 1e-3, 4.0),
        # Beyond 2 its steps raise the loss and are taken back.
        (lambda rate: optimizers.make('conjugate_gradient', rate, None), 1.3, 8.0),
    ],
)
def test_an_optimiser_remembers_the_step_that_was_taken(make, lowest, highest):
    """Oracle: a loop that makes the optimiser anew at each rate."""
    found = rate_range(BOWL, STARTS, BATCH, make=make, lowest=lowest, highest=highest, num_steps=12)
    errors = np.zeros(12)
    for start in STARTS['layer_0']['b']:
        flat, state = jnp.asarray(start), make(found.rates[0]).init(jnp.asarray(start))
        for step, rate in enumerate(found.rates):
            # The loss is |flat|^2: its gradient and its quadratic model are exact.
            model = lambda ways, at=flat, **parts: (ways @ (2 * at), 2 * ways @ ways.T)
            told = {'value': jnp.sum(flat**2), 'model': model}
            optimizer = optax.with_extra_args_support(make(float(rate)))
            updates, state = optimizer.update(2 * flat, state, flat, **told)
            flat = flat + updates
            errors[step] += np.log(float(flat[0]) ** 2) / 2
    np.testing.assert_allclose(np.log(found.mse), errors, rtol=2e-3, atol=2e-3)


def test_divergence_is_the_end_of_the_curve(tmp_path):
    found = rate_range(BOWL, STARTS, BATCH, make=optax.sgd, lowest=1e-2, highest=1e30, num_steps=40)
    assert np.isinf(found.mse[-1])
    write_json(tmp_path / 'range.json', plain(found._asdict()))
    assert json.loads((tmp_path / 'range.json').read_text())['mse'][-1] is None


@pytest.mark.parametrize(
    ('options', 'part'),
    [
        ({'lowest': 0.0}, 'lowest'),
        ({'num_steps': 3}, 'num_steps'),
        ({'make': lambda rate: optax.sgd(-rate)}, 'no rate'),
    ],
)
def test_wrong_calls_are_named(options, part):
    with pytest.raises(InputError, match=part):
        rate_range(BOWL, STARTS, BATCH, **({'make': optax.sgd, 'num_steps': 20} | options))
