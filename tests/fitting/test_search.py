"""The search for a start's own best optimiser and rate, on problems whose answer is known."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, Inr

# A constant field b with targets 0: the loss is b^2 / C = b^2, its gradient 2 b, so plain descent at rate 1/2 is exact
# after one step and any rate above 1 diverges.
CONSTANT = Inr(
    init=lambda key, dims: {'layer_0': {'b': jnp.ones(1)}},
    apply=lambda weights, coords: jnp.broadcast_to(weights['layer_0']['b'], (coords.shape[0], 1)),
    metadata={},
)
STARTS = {'layer_0': {'b': np.array([[0.3], [0.7]], np.float32)}}
BATCH = Datapoint(
    coords=np.zeros((2, 4, 2), np.float32),
    values=np.zeros((2, 4, 1), np.float32),
    weight=np.ones((2, 4), np.float32),
    index=np.arange(2, dtype=np.int32),
)


def search(families, **options):
    return fitting.best_rate(CONSTANT, STARTS, BATCH, families=families, data_range=(0.0, 1.0), **options)


@pytest.mark.parametrize('first', [(0.01, 0.02), (3.0, 6.0), (0.2, 0.4, 0.8)], ids=['below', 'above', 'around'])
def test_finds_the_rate_wherever_it_begins(first):
    found = search({'descent': fitting.Family(optax.sgd, first)}, num_steps=2)
    assert found.name == 'descent'
    assert 0.5 / 1.5 < found.rate < 0.5 * 1.5
    np.testing.assert_allclose(found.optimizer.update(jnp.ones(1), found.optimizer.init(jnp.ones(1)))[0], -found.rate)


def test_the_better_family_wins_and_divergence_loses():
    families = {
        'uphill': fitting.Family(lambda rate: optax.sgd(-rate), (0.1, 0.2)),
        'unbounded': fitting.Family(lambda rate: optax.scale(jnp.inf * rate), (0.1,)),
        'descent': fitting.Family(optax.sgd, (0.2, 0.3, 0.6)),
    }
    found = search(families, num_steps=3)
    assert found.name == 'descent'
    assert {trial.name for trial in found.trials} == set(families)


def test_steps_to_reach_counts_from_the_start():
    found = search({'descent': fitting.Family(optax.sgd, (0.25,))}, num_steps=6, max_extensions=0)
    trial = found.trials[0]
    # At rate 1/4 each step halves b: 6.02 dB a step.
    np.testing.assert_allclose(np.diff(trial.psnr_db), 20 * np.log10(2), rtol=1e-4)
    start = float(trial.psnr_db[0])
    assert trial.steps_to_reach(start) == 0
    assert trial.steps_to_reach(start + 12.0) == 2
    assert trial.steps_to_reach(start + 12.1) == 3
    assert trial.steps_to_reach(start + 60) is None
    assert found.fastest_to(start + 12.1).steps_to_reach(start + 12.1) <= 3
    assert found.fastest_to(1e9) is None


def test_the_deepest_fall_is_that_of_one_datapoint():
    # A datapoint below 1/2 goes uphill, by half of its b; the other one downhill by as much.
    turn = lambda rate: optax.stateless(lambda updates, params: -rate * updates * jnp.sign(params - 0.5))
    families = {'one_uphill': fitting.Family(turn, (0.25,)), 'descent': fitting.Family(optax.sgd, (0.25,))}
    found = search(families, num_steps=1, max_extensions=0)
    falls = {trial.name: trial.deepest_fall_db for trial in found.trials if trial.rate == 0.25}
    np.testing.assert_allclose(falls['one_uphill'], 20 * np.log10(1.5), rtol=1e-4)
    assert falls['descent'] == 0.0


def test_the_score_steps_decide():
    # Fast at first and then stuck, against slow but sure.
    families = {
        'early': fitting.Family(lambda rate: optax.sgd(lambda step: jnp.where(step == 0, rate, 0.0)), (0.4,)),
        'late': fitting.Family(lambda rate: optax.sgd(rate), (0.25,)),
    }
    options = {'num_steps': 8, 'max_extensions': 0}
    assert search(families, score_steps=(1,), **options).name == 'early'
    assert search(families, score_steps=(8,), **options).name == 'late'


def test_everything_diverging_is_one_clear_error():
    with pytest.raises(InputError, match='diverged'):
        search({'nan': fitting.Family(lambda rate: optax.scale(jnp.nan * rate), (0.1,))}, num_steps=1)


@pytest.mark.parametrize('score_steps', [(0,), (4,), ()])
def test_score_steps_outside_the_run_are_refused(score_steps):
    with pytest.raises(InputError, match='num_steps = 3'):
        search(fitting.FAMILIES, num_steps=3, score_steps=score_steps)
