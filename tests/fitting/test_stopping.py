"""Targets, failures, and what an INR that has stopped costs: nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting, metrics
from hyperinr.errors import InputError
from hyperinr.fitting import Batching, Status
from hyperinr.fitting.stopping import check_target
from tests.exhaustive import thin
from tests.fitting.problems import SIREN, batch, starts, take

ADAM = optax.adam(5e-3)
EXPLODE = optax.scale_by_schedule(lambda step: jnp.where(step < 3, -1e-3, jnp.inf))
NUM_STEPS, NUM_INRS = 30, 6
WAYS = {
    'mapped': Batching('mapped', 2, 2),
    'vmapped': Batching('vmapped', 6, 1),
    'rounds that hand on': Batching('vmapped', 2, 1, steps_per_round=4),
    'rounds that close ranks': Batching('vmapped', 3, 2, steps_per_round=2),
}
FEW = ('rounds that hand on',)


@pytest.fixture(scope='module')
def trajectory():
    """All steps of all INRs, and a target that they reach at different steps, one of them never."""
    weights, datapoints = starts(SIREN, NUM_INRS), batch(NUM_INRS)
    values = datapoints.values * np.array([0.2, 0.4, 0.6, 0.8, 1.0, 4.0], np.float32)[:, None, None]
    datapoints = datapoints._replace(values=values)
    result = fitting.fit(
        SIREN, weights, datapoints, optimizer=ADAM, num_steps=NUM_STEPS, record_steps=range(NUM_STEPS + 1)
    )
    return weights, datapoints, result, 18.0


@pytest.mark.parametrize('way', thin(WAYS, lambda way: way in FEW))
def test_each_inr_stops_at_the_step_that_reaches_the_target(way, trajectory):
    weights, datapoints, full, target = trajectory
    found = fitting.fit(
        SIREN,
        weights,
        datapoints,
        optimizer=ADAM,
        num_steps=NUM_STEPS,
        record_steps=(0, 8, NUM_STEPS),
        target_psnr=target,
        data_range=(0.0, 1.0),
        batching=WAYS[way],
    )
    psnr = np.asarray(metrics.psnr_from_mse(full.mse, (0.0, 1.0)))
    steps = [int(np.argmax(row >= target)) if (row >= target).any() else NUM_STEPS for row in psnr]
    assert len(set(steps)) > 3, 'the problem tells the INRs apart'
    assert max(steps) == NUM_STEPS
    assert found.num_steps.tolist() == steps
    reached = psnr.max(axis=1) >= target
    assert found.status.tolist() == np.where(reached, Status.OK, Status.MISSED_TARGET).tolist()
    for row, stop in enumerate(steps):
        close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)
        jax.tree.map(close, take(found.weights, row), take(take(full.snapshots, row), stop))
        for column, step in enumerate((0, 8, NUM_STEPS)):
            expected = take(take(full.snapshots, row), min(step, stop))
            jax.tree.map(close, take(take(found.snapshots, row), column), expected)
        np.testing.assert_allclose(found.mse[row, : stop + 1], full.mse[row, : stop + 1], rtol=1e-3)
        assert (found.mse[row, stop:] == found.mse[row, stop]).all()


@pytest.mark.exhaustive
@pytest.mark.parametrize('way', thin(WAYS, lambda way: way in FEW))
def test_an_inr_that_diverges_is_reported_and_touches_no_other(way, trajectory):
    weights, datapoints, full, _ = trajectory
    broken = datapoints._replace(values=datapoints.values.copy())
    broken.values[2, 5] = np.nan
    broken.weight[2, 5] = 1.0
    found = fitting.fit(SIREN, weights, broken, optimizer=ADAM, num_steps=NUM_STEPS, batching=WAYS[way])
    assert found.status.tolist() == [Status.OK] * 2 + [Status.DIVERGED] + [Status.OK] * 3
    assert found.num_steps.tolist() == [NUM_STEPS] * 2 + [0] + [NUM_STEPS] * 3
    others = np.arange(NUM_INRS) != 2
    np.testing.assert_allclose(found.mse[others], full.mse[others], rtol=1e-3)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(np.isfinite(leaf), True), dict(found.weights))


def test_an_inr_that_diverges_midway_keeps_its_steps():
    found = fitting.fit(SIREN, starts(SIREN, 1), batch(1), optimizer=EXPLODE, num_steps=9)
    assert found.status.tolist() == [Status.DIVERGED]
    assert found.num_steps.tolist() == [4]
    assert np.isfinite(found.mse[0]).tolist() == [True] * 4 + [False] * 6


def test_a_finished_inr_takes_no_further_step(trajectory):
    weights, datapoints, _, target = trajectory
    calls = []

    def apply(weights, coords):
        jax.debug.callback(lambda: calls.append(1))
        return SIREN.apply(weights, coords)

    found = fitting.fit(
        SIREN._replace(apply=apply),
        weights,
        datapoints,
        optimizer=ADAM,
        num_steps=NUM_STEPS,
        target_psnr=target,
        data_range=(0.0, 1.0),
        batching=Batching('mapped', 4, 2),
    )
    jax.effects_barrier()
    # One evaluation a step, one that finds the target reached, and one of the result, of the two padded slots too.
    reached = int((found.status == Status.OK).sum())
    assert len(calls) == found.num_steps.sum() + reached + 8


UNSTEADY = optax.adam(0.1)


@pytest.mark.parametrize('way', thin([*WAYS, 'fused kernel'], lambda way: way in FEW))
def test_the_best_state_is_returned_where_a_fit_gets_worse(way, trajectory):
    """Oracle: the recorded weights of the plain fit at the step of its least error."""
    weights, datapoints, _, _ = trajectory
    batching = WAYS.get(way, Batching('vmapped', 6, 1, kernel='pallas'))
    run = lambda **options: fitting.fit(
        SIREN, weights, datapoints, optimizer=UNSTEADY, num_steps=12, batching=batching, **options
    )
    plain, found = run(record_steps=range(13)), run(keep_best=True)
    np.testing.assert_allclose(found.mse, plain.mse, rtol=1e-4)
    best = np.asarray(found.mse).argmin(axis=1)
    assert (best < 12).any(), 'some fits get worse'
    assert found.best_step.tolist() == best.tolist()
    assert plain.best_step.tolist() == found.num_steps.tolist() == [12] * NUM_INRS
    for row, step in enumerate(best):
        expected = take(take(plain.snapshots, row), step)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), take(found.weights, row), expected)


def test_the_best_state_before_a_divergence_is_returned_and_called_diverged():
    found = fitting.fit(SIREN, starts(SIREN, 1), batch(1), optimizer=EXPLODE, num_steps=9, keep_best=True)
    assert (found.status.tolist(), found.num_steps.tolist()) == ([Status.DIVERGED], [4])
    assert found.best_step.tolist() == [int(np.nanargmin(found.mse[0]))] == [3]
    again = fitting.fit(SIREN, found.weights, batch(1), optimizer=EXPLODE, num_steps=0)
    np.testing.assert_allclose(again.mse[0, 0], found.mse[0, 3], rtol=1e-5)


def test_weights_that_reach_their_goal_are_returned_as_they_are(trajectory):
    weights, datapoints, _, _ = trajectory
    goal = fitting.Goal(lambda predicted, probe: jnp.abs(predicted).max() > 3.0, 1)
    found = fitting.fit(
        SIREN, weights, datapoints, optimizer=optax.sgd(-0.05), num_steps=30, goal=goal, probes=datapoints,
        keep_best=True,
    )  # fmt: skip
    assert found.status.tolist() == [Status.OK] * NUM_INRS
    assert found.best_step.tolist() == found.num_steps.tolist()
    assert (found.mse[:, -1] > found.mse[:, 0]).all()


@pytest.mark.parametrize('way', thin(WAYS, lambda way: way in FEW))
def test_a_goal_is_looked_at_now_and_then_and_stops_each_inr(way, trajectory):
    """Oracle: the recorded weights of the full fit, evaluated at the probe after every fourth step."""
    weights, datapoints, full, _ = trajectory
    rng = np.random.default_rng(1)
    coords = rng.uniform(-1, 1, (NUM_INRS, 9, 2)).astype(np.float32)
    probes = datapoints._replace(
        coords=coords, values=rng.uniform(size=(NUM_INRS, 9, 3)), weight=np.ones((NUM_INRS, 9))
    )
    apply = jax.vmap(jax.vmap(SIREN.apply, (0, None)))
    distance = np.abs(np.asarray(apply(full.snapshots, coords)) - probes.values[:, None]).mean(axis=(2, 3))
    looks = np.arange(0, NUM_STEPS + 1, 4).tolist() + [NUM_STEPS]
    limit = float(np.median(distance[:, looks].min(axis=1))) + 1e-3
    goal = fitting.Goal(lambda predicted, probe: jnp.abs(predicted - probe.values).mean() <= limit, 4)
    found = fitting.fit(
        SIREN,
        weights,
        datapoints,
        optimizer=ADAM,
        num_steps=NUM_STEPS,
        goal=goal,
        probes=probes,
        batching=WAYS[way] if 'hand' not in way else WAYS[way]._replace(steps_per_round=8),
    )
    if way == 'rounds that close ranks':
        looks = sorted({*looks, *range(0, NUM_STEPS, 2)})  # every round begins with a look
    expected = []
    for row in range(NUM_INRS):
        reached = [step for step in looks if distance[row, step] <= limit]
        expected.append((reached[0], Status.OK) if reached else (NUM_STEPS, Status.MISSED_TARGET))
    assert {status for _, status in expected} == {Status.OK, Status.MISSED_TARGET}
    assert list(zip(found.num_steps.tolist(), found.status.tolist(), strict=True)) == expected


def test_a_goal_and_its_probes_come_together(trajectory):
    weights, datapoints, _, _ = trajectory
    goal = fitting.Goal(lambda predicted, probe: jnp.bool_(True), 1)
    for options in ({'goal': goal}, {'probes': datapoints}, {'goal': goal._replace(every=0), 'probes': datapoints}):
        with pytest.raises(InputError, match='goal'):
            fitting.fit(SIREN, weights, datapoints, optimizer=ADAM, num_steps=5, **options)


def test_a_start_that_is_good_enough_is_returned_as_it_is(trajectory):
    weights, datapoints, _, _ = trajectory
    found = fitting.fit(
        SIREN, weights, datapoints, optimizer=ADAM, num_steps=5, target_psnr=-20.0, data_range=(0.0, 1.0)
    )
    assert found.num_steps.tolist() == [0] * NUM_INRS
    jax.tree.map(np.testing.assert_array_equal, dict(found.weights), weights)


def test_the_target_knows_the_data_range():
    assert check_target(None, None) < 0
    np.testing.assert_allclose(check_target(30.0, (-1.0, 1.0)), 4e-3)
    for data_range in (None, (1.0, 1.0)):
        with pytest.raises(InputError, match='data_range'):
            check_target(30.0, data_range)
