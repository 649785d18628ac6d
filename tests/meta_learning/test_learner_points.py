"""Which points and which rates the steps of a learner take, in training and afterwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.meta_learning import every_kth, largest_error_points, uniform_points
from hyperinr.meta_learning.adaptation import reconstruction_error
from hyperinr.types import Datapoint
from tests import parts
from tests.meta_learning.learners import KEY, SHARP_BY_LAYER, context, gradient, make, take, target


def points_seen(**options):
    """Numbers of points at which the INR is evaluated while the gradient is traced."""
    seen = set()
    inr = parts.INRS['siren']()

    def apply(weights, coords):
        seen.add(coords.shape[-2])
        return inr.apply(weights, coords)

    learner = parts.make_learner(inr=inr._replace(apply=apply), **options)
    params = jax.eval_shape(learner.init, KEY, take(context(), 0)).params
    jax.eval_shape(lambda params: parts.gradient(learner, params, context(), target(), KEY), params)
    return seen


def test_inner_steps_and_the_loss_see_as_many_points_as_asked_for():
    assert points_seen() == {48, 30}
    assert points_seen(context_points=uniform_points(num_points=11), num_target_points=7) == {11, 7}
    assert points_seen(context_points=uniform_points(num_points=1000), num_target_points=1000) == {48, 30}
    assert points_seen(context_points=uniform_points(num_points=11), num_steps=0) == {30}
    assert points_seen(context_points=every_kth(stride=4)) == {12, 30}
    assert points_seen(context_points=largest_error_points(num_points=11)) == {48, 11, 30}


@pytest.mark.parametrize(
    'option',
    [{'context_points': uniform_points(num_points=7)}, {'num_target_points': 7}],
    ids=['context', 'target'],
)
def test_the_points_are_drawn_by_key_and_step(option):
    """Of the run and of the step."""
    loss = lambda **options: float(gradient(**options)[1]['loss'])
    assert len({loss(**draw, **option) for draw in ({}, {'key': 1}, {'step': 1})}) == 3
    assert loss() == loss(key=1) == loss(step=1)


def test_points_are_drawn_anew_in_every_step_shared_by_the_batch_and_together():
    number = np.broadcast_to(np.arange(20.0, dtype=np.float32), (3, 20))
    batch = Datapoint(number[..., None], 2 * number[..., None], 3 * number, np.arange(3))
    choice = uniform_points(num_points=6)
    drawn = choice.draw(KEY, 20, 4)
    one = lambda points, step: choice.select(points, step, drawn[step], lambda: None)
    seen = jax.vmap(lambda points: jax.vmap(lambda step: one(points, step))(jnp.arange(4)))(batch)
    rows = np.asarray(seen.coords)[..., 0]
    assert rows.shape == (3, 4, 6)
    np.testing.assert_array_equal(seen.values[..., 0], 2 * rows)
    np.testing.assert_array_equal(seen.weight, 3 * rows)
    for one in rows[1:]:
        np.testing.assert_array_equal(one, rows[0])
    draws = [frozenset(step.tolist()) for step in rows[0]]
    assert len(set(draws)) == 4
    assert all(len(draw) == 6 for draw in draws)


def test_generation_always_sees_all_points():
    few, params = make(context_points=uniform_points(num_points=7), num_target_points=7)
    all_points, _ = make()
    datapoint = take(context(), 0)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(few.generate)(params, datapoint),
        jax.jit(all_points.generate)(params, datapoint),
    )


def test_training_and_generation_take_the_same_steps_on_every_other_point():
    halves, _ = make(context_points=every_kth(stride=2))
    whole, params = make()
    datapoint = take(context(), 0)
    error = lambda weights: reconstruction_error(halves.inr, weights, datapoint)
    found, path = halves.generate(params, datapoint), halves.adapt(params, datapoint, 2)
    jax.tree.map(lambda one, all_of_them: np.testing.assert_allclose(one, all_of_them[-1], atol=1e-6), found, path)
    alone = jax.tree.map(lambda leaf: leaf[:1], context())
    _, metrics = parts.gradient(halves, params, alone, alone, KEY)
    np.testing.assert_allclose(metrics['psnr_db'], -10 * np.log10(error(found)), rtol=1e-4)
    assert abs(float(error(found) / error(whole.generate(params, datapoint))) - 1) > 1e-3


def test_beyond_the_steps_of_training_the_last_rates_go_on():
    learner, params = make(hypernetwork=tuple(SHARP_BY_LAYER.items()))
    params['rates'] = jax.tree.map(
        lambda leaf: jnp.stack([jnp.full(leaf.shape[1:], 0.05), jnp.full(leaf.shape[1:], -0.05)]), params['rates']
    )
    datapoint = take(context(), 0)
    weights, rates = learner.hypernetwork.encode(params, datapoint)
    found = jax.jit(learner.adapt, static_argnums=2)(params, datapoint, 4)

    @jax.jit
    def slope(weights):
        squares = lambda w: jnp.mean((learner.inr.apply(w, datapoint.coords) - datapoint.values) ** 2, axis=-1)
        return jax.grad(lambda w: jnp.sum(squares(w) * datapoint.weight) / datapoint.weight.sum())(weights)

    for step in range(4):
        rate = take(rates, min(step, 1))
        weights = jax.tree.map(lambda w, r, s: w - r * s, weights, rate, slope(weights))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), take(found, step + 1), weights)
