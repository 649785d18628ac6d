"""A learner's update: the optimiser, the average of the parameters, keys, and the operations it counts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from hyperinr import inrs, meta_learning
from tests import parts
from tests.exhaustive import thin
from tests.meta_learning.learners import KEY, context, make, take, target


def applied(steps=3, **options):
    """States after 0, 1, ... gradients of ones."""
    learner, _ = make('constant', **options)
    states = [jax.jit(learner.init)(KEY, take(context(), 0))]
    step = jax.jit(learner.apply_gradient)
    for _ in range(steps):
        states.append(step(states[-1], jax.tree.map(jnp.ones_like, states[-1].params))[0])
    return states


def leaf_of(tree):
    return np.asarray(tree['base']['layer_1']['w'])


@pytest.mark.parametrize('average_decay', thin([0.5, None], lambda decay: decay is not None))
def test_an_update_is_a_step_of_the_optimizer_along_the_gradient(average_decay):
    rate = 0.05
    learner = parts.make_learner(
        optimizer=optax.sgd(rate),
        context_points=meta_learning.uniform_points(num_points=7),
        average_decay=average_decay,
    )
    state = jax.jit(learner.init)(KEY, take(context(), 0))._replace(step=jnp.int32(5))
    after, metrics = jax.jit(learner.update)(state, context(), target())
    slope, measured = jax.jit(learner.gradient)(state, context(), target())
    assert int(after.step) == 6
    assert after.key == state.key
    expected = jax.tree.map(lambda p, g: p - rate * g, state.params, slope)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.params, expected)
    np.testing.assert_allclose(metrics['loss'], measured['loss'], rtol=1e-5)
    norm = np.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(slope)))
    np.testing.assert_allclose(metrics['gradient_norm'], norm, rtol=1e-4)
    one_by_one, _ = jax.jit(learner.apply_gradient)(state, slope)
    jax.tree.map(close, after._replace(key=0), one_by_one._replace(key=0))


@pytest.mark.parametrize('decay', [0.99, 0.15, 0.0])
def test_the_average_decays_as_documented(decay):
    """``min(decay, (1 + t) / (10 + t))``: 0.1, 2/11, 3/12 at first; 0.15 caps all but the first."""
    states = applied(average_decay=decay)
    expected = leaf_of(states[0].params)
    for step, state in enumerate(states[1:]):
        keep = min(decay, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * leaf_of(state.params)
        np.testing.assert_allclose(leaf_of(state.average), expected, rtol=1e-5, atol=1e-7)
    assert np.abs(leaf_of(states[-1].params) - leaf_of(states[0].params)).max() > 1e-3


def test_without_an_average_it_is_the_parameters():
    for state in applied(average_decay=None):
        jax.tree.map(np.testing.assert_array_equal, state.average, state.params)


def test_runs_of_other_keys_draw_other_parameters():
    learner, _ = make()
    starts = [jax.jit(learner.init)(jax.random.key(seed), take(context(), 0)) for seed in (0, 1)]
    assert starts[0].key != starts[1].key
    assert np.abs(leaf_of(starts[0].params) - leaf_of(starts[1].params)).max() > 0


def products(jaxpr):
    """Floating-point operations of the matrix products of a computation, loops multiplied out."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
        repeats = equation.params.get('length', 1) if equation.primitive.name == 'scan' else 1
        total += repeats * sum(products(inner) for inner in jaxprs_in_params(equation.params))
    return total


@pytest.mark.parametrize('options', [
    {'num_steps': 0},
    {'num_steps': 1},
    {'num_steps': 3, 'loss_steps': meta_learning.every_step()},
    {'num_steps': 2, 'first_order': True},
    {'num_steps': 2, 'context_points': meta_learning.uniform_points(num_points=12), 'num_target_points': 7},
    {'num_steps': 3, 'context_points': meta_learning.every_kth(stride=3)},
    {'num_steps': 2, 'context_points': meta_learning.largest_error_points(num_points=12)},
], ids=lambda options: ' '.join(options))  # fmt: skip
def test_flops_are_those_of_the_matrix_products(options):
    """A few per cent above: the formula counts derivatives by the coordinates, which nobody needs."""
    inr = inrs.siren(channels=3, width=64, depth=3)
    learner = parts.make_learner(inr=inr, encoder='constant', **options)
    params = jax.eval_shape(learner.init, KEY, take(context(), 0)).params
    jaxpr = jax.make_jaxpr(lambda params: parts.gradient(learner, params, context(), context(), KEY))(params)
    counted = products(jaxpr.jaxpr)
    assert counted <= learner.flops(context()) < 1.1 * counted
