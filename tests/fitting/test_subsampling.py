"""Which points a step sees, and that full passes come when they should."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting
from hyperinr.fitting.loss import Points, points_of
from tests.exhaustive import thin
from tests.fitting.problems import SIREN, batch, starts, take

NUM_POINTS = 40


def points(seed=0):
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 1.5, NUM_POINTS) * (np.arange(NUM_POINTS) % 5 > 0)
    return Points(
        np.arange(NUM_POINTS, dtype=np.float32)[:, None],
        rng.uniform(size=(2, NUM_POINTS)).astype(np.float32),
        (scale / scale.sum() / 2).astype(np.float32),
    )


def draws(subsampling, errors, number=4000):
    """How often each point is drawn in a step, on average, and the draws."""
    given = jax.tree.map(jnp.asarray, points())
    table = subsampling.table(jnp.asarray(errors, jnp.float32), given)
    drawn = jax.jit(jax.vmap(lambda key: subsampling.draw(key, table, given)))(
        jax.random.split(jax.random.key(0), number)
    )
    chosen = np.asarray(drawn.coords[..., 0]).astype(int)
    np.testing.assert_array_equal(drawn.values, given.values[:, chosen].transpose(1, 0, 2))
    return np.bincount(chosen.ravel(), minlength=NUM_POINTS) / number, chosen, np.asarray(drawn.scale)


def test_uniform_draws_every_point_that_counts_alike_and_weighs_it():
    given = points()
    rate, chosen, scale = draws(fitting.uniform(num_points=8), np.ones(NUM_POINTS))
    np.testing.assert_allclose(rate, 8 / 32 * (given.scale > 0), atol=0.03)
    expected = given.scale[chosen]
    np.testing.assert_allclose(scale, expected / expected.sum(axis=1, keepdims=True) / 2, rtol=1e-5)


def test_by_error_draws_in_proportion_to_the_error_and_some_anyway():
    errors = np.linspace(0, 3, NUM_POINTS) ** 2
    given = points()
    rate, _, scale = draws(fitting.by_error(num_points=8, uniform_fraction=0.25), errors)
    hard = errors * given.scale
    expected = 8 * (0.75 * hard / hard.sum() + 0.25 * given.scale / given.scale.sum())
    np.testing.assert_allclose(rate, expected, atol=0.03)
    np.testing.assert_allclose(scale, 1 / (2 * 8), rtol=1e-5)


def test_stratified_draws_one_point_of_each_part_and_no_point_more_often():
    rate, chosen, scale = draws(fitting.stratified(num_points=7, num_measured=9), np.ones(NUM_POINTS))
    edges = [0, 6, 12, 18, 24, 30, 35, 40]
    for part in range(7):
        assert set(chosen[:, part]) == set(range(edges[part], edges[part + 1]))
        np.testing.assert_allclose(rate[edges[part] : edges[part + 1]], 1 / (edges[part + 1] - edges[part]), atol=0.03)
    given = points()
    expected = given.scale[chosen]
    np.testing.assert_allclose(scale, expected / expected.sum(axis=1, keepdims=True) / 2, rtol=1e-5)


@pytest.mark.exhaustive
def test_a_stratified_fit_measures_the_same_few_points_in_place_of_all():
    seen = []
    rule = fitting.stratified(num_points=5, num_measured=8, full_pass_every=4)
    result = fit(rule, on_pass=lambda step, mse: seen.append((int(step), float(mse))))
    jax.effects_barrier()
    assert sorted({step for step, _ in seen}) == [0, 4, 8]
    for row in range(2):
        few = rule.measured(points_of(take(batch(2), row)))
        assert few.scale.size == 8
        predicted = SIREN.apply(take(dict(result.weights), row), few.coords)
        expected = jnp.sum(few.scale * jnp.sum((predicted.T - few.values) ** 2, axis=0))
        np.testing.assert_allclose(result.mse[row, -1], expected, rtol=1e-5)
        assert result.mse[row, 4] in [np.float32(mse) for step, mse in seen if step == 4]
    whole = fitting.stratified(num_points=5, num_measured=36, full_pass_every=4)
    np.testing.assert_allclose(fit(whole).mse[:, 0], fit(None).mse[:, 0], rtol=1e-6)


def fit(subsampling, **options):
    given = {'optimizer': optax.adam(2e-3), 'num_steps': 11, 'record_steps': range(12)} | options
    return fitting.fit(SIREN, starts(SIREN, 2), batch(2), subsampling=subsampling, **given)


@pytest.mark.parametrize('make', thin([fitting.uniform, fitting.by_error], lambda make: make is fitting.by_error))
def test_full_passes_are_exact_and_the_steps_between_are_not(make):
    full, sampled = fit(None), fit(make(num_points=9, full_pass_every=4))
    one_step = lambda result, step: np.asarray(result.snapshots['layer_1']['w'][:, step])
    np.testing.assert_allclose(one_step(full, 1), one_step(sampled, 1), atol=1e-6)
    assert np.abs(one_step(full, 2) - one_step(sampled, 2)).max() > 1e-4
    # Errors over all points are measured at steps 0, 4, 8 and at the end; between, the last one stands.
    held = sampled.mse[:, [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 11]]
    np.testing.assert_array_equal(sampled.mse, held)
    for step in (4, 8, 11):
        weights = jax.tree.map(lambda leaf, step=step: leaf[:, step], dict(sampled.snapshots))
        exact = fitting.fit(SIREN, weights, batch(2), optimizer=optax.sgd(0.0), num_steps=0).mse[:, 0]
        np.testing.assert_allclose(sampled.mse[:, step], exact, rtol=1e-5)


def test_the_seed_and_the_place_in_the_batch_decide_the_draws():
    draws = fitting.uniform(num_points=9, full_pass_every=4)
    first, again, other = fit(draws), fit(draws), fit(draws, seed=1)
    np.testing.assert_array_equal(first.mse, again.mse)
    assert (first.mse[:, 4:] != other.mse[:, 4:]).all()
    chunked = fit(draws, batching=fitting.Batching('mapped', 1, 1))
    np.testing.assert_allclose(first.mse, chunked.mse, rtol=1e-5)


def test_a_target_is_met_at_a_full_pass():
    result = fit(
        fitting.by_error(num_points=9, full_pass_every=4), num_steps=60, record_steps=(), target_psnr=14.0,
        data_range=(0.0, 1.0),
    )  # fmt: skip
    assert result.status.tolist() == [fitting.Status.OK] * 2
    assert set(result.num_steps.tolist()) <= set(range(0, 60, 4))
    assert (result.mse[:, -1] <= 10**-1.4).all()


@pytest.mark.parametrize(
    'make',
    [
        lambda: fitting.uniform(num_points=0),
        lambda: fitting.stratified(num_points=3, num_measured=0),
        lambda: fitting.uniform(num_points=5, full_pass_every=1),
        lambda: fitting.by_error(num_points=5, uniform_fraction=0.0),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match='must be'):
        make()
