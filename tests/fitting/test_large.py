"""A fit of one INR to a signal of any size: equal to the compiled loop, and to itself after a stop."""

import functools

import jax
import numpy as np
import optax
import pytest

from hyperinr import coordinates, fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.fitting import AtRate, LargeSignal, fit_large, large
from hyperinr.types import Datapoint

INR = inrs.siren(channels=2, width=8, depth=2, omega_0=6.0, hidden_omega_0=3.0)
SHAPE = (9, 13)
COORDS = coordinates.grid(SHAPE)
VALUES = np.stack([np.sin(3 * COORDS[:, 0]), np.cos(2 * COORDS[:, 1])], axis=-1).astype(np.float32)
WEIGHT = np.random.default_rng(0).integers(0, 3, len(COORDS)).astype(np.float32)
SIGNAL = LargeSignal(len(COORDS), lambda rows: (COORDS[rows], VALUES[rows], WEIGHT[rows]))


@functools.cache
def start():
    return jax.tree.map(np.asarray, INR.init(jax.random.key(0), 2))


def run(signal=SIGNAL, **options):
    usual = {'optimizer': AtRate(optax.adam, 1e-2), 'num_steps': 30, 'num_points': 200, 'num_measured': 50}
    return list(fit_large(INR, start(), signal, **{**usual, **options}))


def test_steps_on_all_points_are_those_of_the_compiled_loop():
    states = run(measure_every=7)
    datapoint = Datapoint(COORDS, VALUES, WEIGHT, np.zeros((), np.int32))
    batch, weights = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (datapoint, start()))
    expected = fitting.fit(INR, weights, batch, optimizer=optax.adam(1e-2), num_steps=30)
    assert [state.step for state in states] == [0, 7, 14, 21, 28, 30]
    np.testing.assert_allclose(states[-1].mse, expected.mse[0], rtol=1e-3)
    assert np.isnan(states[2].mse[15:]).all()
    tree = weights_lib.unflatten(states[-1].flat, weights_lib.spec_of(start()))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], atol=1e-3), tree, expected.weights)


def test_pieces_of_a_step_and_of_an_evaluation_change_rounding_alone(monkeypatch):
    expected = run(num_points=40, num_steps=5)[-1]
    monkeypatch.setattr(large, 'PIECE', 7)
    large._error.cache_clear()
    found = run(num_points=40, num_steps=5)[-1]
    large._error.cache_clear()
    np.testing.assert_allclose(found.flat, expected.flat, atol=1e-5)
    np.testing.assert_allclose(found.mse, expected.mse, rtol=1e-4)
    values = large.evaluator(INR, start())(COORDS)
    np.testing.assert_allclose(values, INR.apply(start(), COORDS), atol=1e-6)


@pytest.mark.parametrize('stop', [1, 20, 23])
def test_a_stopped_fit_goes_on_bit_for_bit(stop):
    whole = run(num_points=40)
    asked = iter(range(100))
    first = run(num_points=40, stops=lambda: next(asked) == stop)
    assert first[-1].step == stop
    second = run(num_points=40, state=first[-1])
    for name in ('flat', 'mse', 'best', 'best_step', 'step'):
        np.testing.assert_array_equal(getattr(second[-1], name), getattr(whole[-1], name))


def test_each_step_draws_other_points_from_all_parts_by_its_seed():
    def drawn(**options):
        seen = []

        def read(rows):
            seen.append(rows)
            return SIGNAL.read(rows)

        run(LargeSignal(len(COORDS), read), num_points=40, num_steps=3, measure_every=100, **options)
        return seen

    first, again, other = drawn(), drawn(), drawn(seed=1)
    assert [len(rows) for rows in first] == [40, 50, 40, 40]
    np.testing.assert_array_equal(first[1], other[1])  # The measured points.
    edges = np.arange(41) * 117 // 40
    for rows in first[0], first[2], first[3]:
        assert ((edges[:-1] <= rows) & (rows < edges[1:])).all()
    assert (first[0] != first[2]).any()
    assert (first[0] != other[0]).any()
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_what_has_weight_0_changes_no_bit_and_the_state_of_least_error_is_kept():
    values = np.where(WEIGHT[:, None] > 0, VALUES, np.nan)
    hidden = LargeSignal(len(COORDS), lambda rows: (COORDS[rows], values[rows], WEIGHT[rows]))
    first, second = run(num_points=40)[-1], run(hidden, num_points=40)[-1]
    np.testing.assert_array_equal(first.flat, second.flat)
    unsteady = run(optimizer=AtRate(optax.adam, 0.3))[-1]
    assert unsteady.best_step == np.argmin(unsteady.mse)


def test_a_fit_ends_where_its_error_is_not_finite():
    states = run(optimizer=AtRate(optax.sgd, 1e30), measure_every=5)
    assert not np.isfinite(states[-1].mse[states[-1].step])
    assert states[-1].step < 30
    assert states[-1].best_step == 0
