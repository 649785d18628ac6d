"""Inner steps on a linear field, whose steps and meta-gradients have closed forms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.meta_learning import PointChoice, every_kth, uniform_points
from hyperinr.meta_learning.adaptation import adapt, follow, rates_at, reconstruction_error
from hyperinr.types import Datapoint, Inr, Start

STEPS, CHANNELS = 3, 2
LINEAR = Inr(
    init=lambda key, dims: {'layer_0': {'w': jax.random.normal(key, (dims, CHANNELS)), 'b': jnp.zeros(CHANNELS)}},
    apply=lambda weights, coords: coords @ weights['layer_0']['w'] + weights['layer_0']['b'][None],
    metadata={'kind': 'linear'},
)


def points(seed, number=10):
    rng = np.random.default_rng(seed)
    draw = lambda low, *shape: rng.uniform(low, 1, shape).astype(np.float32)
    return Datapoint(draw(-1, number, 2), draw(0, number, CHANNELS), draw(0.2, number), np.int32(0))


def start(seed=0, steps=STEPS):
    """A code and one rate per parameter and step."""
    rng = np.random.default_rng(seed)
    code = {'layer_0': {'w': rng.normal(size=(2, CHANNELS)), 'b': rng.normal(size=CHANNELS)}}
    rates = jax.tree.map(lambda leaf: rng.uniform(0.05, 0.4, (steps, *leaf.shape)), code)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), Start(code, rates))


class Quadratic(NamedTuple):
    """``error(theta) = sum_n weight_n |A_n theta - y_n|^2 / (C sum weight)`` for theta ``[3, C]``, rows w and b."""

    matrix: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, datapoint):
        design = np.concatenate([datapoint.coords, np.ones((len(datapoint.coords), 1))], 1).astype(np.float64)
        weight = (datapoint.weight / datapoint.weight.sum() * 2 / CHANNELS)[:, None].astype(np.float64)
        return cls(design.T @ (weight * design), design.T @ (weight * datapoint.values))

    def gradient(self, theta):
        return self.matrix @ theta - self.right


def theta_of(weights):
    layer = weights['layer_0']
    return np.concatenate(
        [np.asarray(layer['w'], np.float64), np.asarray(layer['b'], np.float64)[..., None, :]], axis=-2
    )


def closed_form(begin, context, target, *, first_order):
    """Every theta, and the gradient of the target's error after the last step with respect to start and rates.

    With ``theta' = theta - r g(theta)``, the adjoint goes back by ``(I - H diag(r))``; a first-order one by I.
    """
    seen, rates = Quadratic.of(context), theta_of(begin.rates)
    path, gradients = [theta_of(begin.code)], []
    for step in range(STEPS):
        gradients.append(seen.gradient(path[-1]))
        path.append(path[-1] - rates[step] * gradients[-1])
    adjoint, for_rates = Quadratic.of(target).gradient(path[-1]), [None] * STEPS
    for step in reversed(range(STEPS)):
        for_rates[step] = -gradients[step] * adjoint
        if not first_order:
            adjoint = adjoint - seen.matrix @ (rates[step] * adjoint)
    return path, Start(adjoint, np.array(for_rates))


def identity(code):
    return code


def test_every_step_is_that_of_the_closed_form():
    context = points(1)
    path, _ = closed_form(start(), context, context, first_order=False)
    codes = adapt(LINEAR, identity, start(), context, num_steps=STEPS)
    assert len(codes) == STEPS + 1
    for code, expected in zip(codes, path, strict=True):
        np.testing.assert_allclose(theta_of(code), expected, atol=1e-5)


@pytest.mark.parametrize('first_order', [False, True])
@pytest.mark.parametrize('rematerialize', [False, True])
def test_meta_gradients_are_those_of_the_closed_form(first_order, rematerialize):
    context, target = points(1), points(2)

    @jax.grad
    def meta_gradient(begin):
        exact = 0 if first_order else None
        code = adapt(
            LINEAR, identity, begin, context,
            num_steps=STEPS, second_order_steps=exact, rematerialize=rematerialize,
        )[-1]  # fmt: skip
        return reconstruction_error(LINEAR, code, target)

    found = meta_gradient(start())
    _, expected = closed_form(start(), context, target, first_order=first_order)
    np.testing.assert_allclose(theta_of(found.code), expected.code, atol=1e-5)
    np.testing.assert_allclose(theta_of(found.rates), expected.rates, atol=1e-5)
    _, other = closed_form(start(), context, target, first_order=not first_order)
    assert np.abs(other.code - expected.code).max() > 1e-2


GIVEN = PointChoice(lambda points, step, drawn, errors: drawn, lambda total: (total, 0))
"""Every step sees the points that were drawn for it."""


def test_other_points_in_every_step():
    each = [points(seed) for seed in range(STEPS)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    theta, rates = theta_of(start().code), theta_of(start().rates)
    for step in range(STEPS):
        theta = theta - rates[step] * Quadratic.of(each[step]).gradient(theta)
    code = adapt(LINEAR, identity, start(), points(9), num_steps=STEPS, choice=GIVEN, drawn=stacked)[-1]
    np.testing.assert_allclose(theta_of(code), theta, atol=1e-5)


@pytest.mark.parametrize('rematerialize', [False, True])
def test_with_a_stride_the_steps_see_disjoint_points_in_turns(rematerialize):
    context = points(1, number=11)
    halves = [
        jax.tree.map(lambda leaf, first=first: leaf[first:10:2], context._replace(index=np.zeros(11)))
        for first in (0, 1)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), halves[0], halves[1], halves[0])
    expected = adapt(
        LINEAR, identity, start(), context, num_steps=STEPS, choice=GIVEN, drawn=stacked._replace(index=None)
    )
    choice = every_kth(stride=2)
    found = adapt(LINEAR, identity, start(), context, num_steps=STEPS, choice=choice, rematerialize=rematerialize)
    path, errors = follow(LINEAR, identity, start(), context, num_steps=STEPS, choice=choice)
    for step, code in enumerate(expected):
        np.testing.assert_allclose(theta_of(found[step]), theta_of(code), atol=1e-5)
        np.testing.assert_allclose(
            theta_of(jax.tree.map(lambda leaf, step=step: leaf[step], path)), theta_of(code), atol=1e-5
        )
        np.testing.assert_allclose(errors[step], reconstruction_error(LINEAR, code, context), rtol=1e-4)


@pytest.mark.parametrize(
    ('choice', 'drawn'),
    [(every_kth(stride=2), ()), (uniform_points(num_points=5), jnp.arange(10).reshape(5, 2).T)],
    ids=['stride', 'drawn'],
)
def test_chosen_points_without_weight_move_nothing(choice, drawn):
    context = points(1)
    context.weight[::2] = 0
    codes = adapt(LINEAR, identity, start(), context, num_steps=2, choice=choice, drawn=drawn)
    jax.tree.map(np.testing.assert_array_equal, codes[1], codes[0])
    assert np.abs(theta_of(codes[2]) - theta_of(codes[1])).max() > 1e-2


def test_a_stride_beyond_the_points_is_refused():
    assert len(every_kth(stride=10).select(points(1), 3, (), None).coords) == 1
    assert every_kth(stride=1).select(context := points(1), 3, (), None) is context
    with pytest.raises(ValueError, match='stride must be at most the number of points, 10, not 11'):
        every_kth(stride=11).select(points(1), 0, (), None)


def test_with_enough_steps_it_reaches_weighted_least_squares():
    context = points(1)
    rates = jax.tree.map(lambda leaf: jnp.full((1, *[1] * leaf.ndim), 0.7), start().code)
    step = jax.jit(lambda code: adapt(LINEAR, identity, Start(code, rates), context, num_steps=20)[-1])
    code = start().code
    for _ in range(20):
        code = step(code)
    problem = Quadratic.of(context)
    np.testing.assert_allclose(theta_of(code), np.linalg.solve(problem.matrix, problem.right), atol=1e-3)


def test_only_the_code_moves_when_it_is_not_the_weights():
    """A code of two scalars that scales the weights: the step is the chain rule's."""
    context, weights = points(1), start().code
    decode = lambda scale: jax.tree.map(lambda leaf: scale['all'] * leaf, weights)
    begin = Start({'all': jnp.float32(0.5)}, {'all': jnp.float32([0.1])})
    found = adapt(LINEAR, decode, begin, context, num_steps=1)[-1]
    theta = theta_of(weights)
    slope = (Quadratic.of(context).gradient(0.5 * theta) * theta).sum()
    np.testing.assert_allclose(found['all'], 0.5 - 0.1 * slope, rtol=1e-5)


def test_points_without_weight_do_not_move_it():
    context = points(1)
    context.weight[6:] = 0
    other = context._replace(values=np.where(np.arange(10)[:, None] < 6, context.values, 9).astype(np.float32))
    run = lambda context: adapt(LINEAR, identity, start(), context, num_steps=2)[-1]
    jax.tree.map(np.testing.assert_array_equal, run(other), run(context))


def test_beyond_the_last_rate_it_stays():
    rates = {'layer_0': jnp.float32([[1.0], [2.0], [3.0]])}
    assert [float(rates_at(rates, step)['layer_0'][0]) for step in range(5)] == [1, 2, 3, 3, 3]


def test_no_steps_return_the_start():
    codes = adapt(LINEAR, identity, start(), points(1), num_steps=0)
    jax.tree.map(np.testing.assert_array_equal, codes, [start().code])
