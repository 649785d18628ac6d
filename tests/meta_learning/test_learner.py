"""The meta-gradient against finite differences and a hand-written loop, and what the options of the loss do."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import meta_learning
from tests import parts
from tests.exhaustive import thin
from tests.meta_learning.learners import (
    KEY,
    MSE,
    SHARP,
    SHARP_BY_LAYER,
    context,
    difference,
    gradient,
    largest,
    make,
    take,
    target,
)


def traced(**options):
    """The computation of the gradient as text."""
    learner, params = make(**options)
    return str(jax.make_jaxpr(lambda params: parts.gradient(learner, params, context(), target(), KEY))(params))


@functools.cache
def adapted_values():
    """What the INRs say at the target's points after 0, 1, 2 steps on the context: ``[B, 3, N, C]``."""
    learner, params = make()

    def one(seen, judged):
        return jax.vmap(lambda weights: learner.inr.apply(weights, judged.coords))(learner.adapt(params, seen, 2))

    return np.asarray(jax.jit(jax.vmap(one))(context(), target()), np.float64)


@pytest.mark.parametrize('part', ['base', 'encoder', 'heads', 'rates'])
def test_the_meta_gradient_is_that_of_finite_differences(part):
    """Central differences in double precision, along random directions in each part of the parameters."""
    derivative, expected, _ = finite_differences(False)
    np.testing.assert_allclose(derivative[part], expected[part], rtol=1e-6, atol=1e-9)
    assert abs(expected[part]) > 1e-6


def test_a_first_order_gradient_is_not():
    derivative, expected, _ = finite_differences(True)
    apart = [abs(derivative[part] - expected[part]) / abs(expected[part]) for part in ('base', 'heads')]
    assert min(apart) > 1e-2


@functools.cache
def finite_differences(first_order):
    """By part: the gradient's directional derivative, and the quotient of differences of the loss."""
    learner, params = make(first_order=first_order)
    with jax.enable_x64(True):
        double = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), tree)
        data = [batch._replace(**{name: double(getattr(batch, name)) for name in ('coords', 'values', 'weight')})
                for batch in (context(), target())]  # fmt: skip
        # The zeros of a fresh encoder's biases would leave out what is multiplied by them.
        params = jax.tree.map(lambda leaf: leaf + 0.01, double(params))
        compiled = jax.jit(lambda params: parts.gradient(learner, params, *data, KEY))
        found, metrics = compiled(params)
        assert metrics['loss'].dtype == jnp.float64
        rng, derivative, quotient = np.random.default_rng(0), {}, {}
        for part in params:
            direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params[part])
            products = jax.tree.map(lambda g, d: jnp.sum(g * d), found[part], direction)
            derivative[part] = float(sum(jax.tree.leaves(products)))
            step = 1e-5
            losses = [
                float(
                    compiled({**params, part: jax.tree.map(lambda p, d, s=s: p + s * d, params[part], direction)})[1][
                        'loss'
                    ]
                )
                for s in (step, -step)
            ]
            quotient[part] = (losses[0] - losses[1]) / (2 * step)
    return derivative, quotient, float(metrics['loss'])


def test_with_a_constant_encoder_it_is_maml():
    """Every datapoint starts at the base; the gradient is that of the algorithm written out."""
    options = tuple(SHARP_BY_LAYER.items())
    learner, params = make('constant', hypernetwork=options)
    starts = jax.vmap(learner.hypernetwork.encode, (None, 0))(params, context())
    for row in range(4):
        jax.tree.map(np.testing.assert_array_equal, take(starts.code, row), params['base'])

    def loss_of(weights, datapoint):
        squares = jnp.mean((learner.inr.apply(weights, datapoint.coords) - datapoint.values) ** 2, axis=-1)
        return jnp.sum(squares * datapoint.weight) / jnp.sum(datapoint.weight)

    def maml(base, rates):
        losses = []
        for row in range(4):
            weights = base
            for step in range(2):
                slope = jax.grad(loss_of)(weights, take(context(), row))
                weights = jax.tree.map(lambda w, r, s, step=step: w - r[step] * s, weights, rates, slope)
            losses.append(loss_of(weights, take(target(), row)))
        return sum(losses) / 4

    expected, slopes = jax.jit(jax.value_and_grad(maml, argnums=(0, 1)))(params['base'], take(starts.rates, 0))
    found, metrics = gradient('constant', hypernetwork=options)
    np.testing.assert_allclose(metrics['loss'], expected, rtol=1e-5)
    assert difference(slopes[0], found['base']) < 1e-4
    # A rate is initial * exp(10 parameter).
    assert difference(jax.tree.map(lambda leaf: 10 * 0.1 * leaf, slopes[1]), found['rates']) < 1e-4


LOSSES = {'mse': MSE, 'log_mse': meta_learning.log_mse()}
LOSS_STEPS = {'last': meta_learning.last_step(), 'all': meta_learning.every_step()}


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('loss_steps', LOSS_STEPS)
def test_the_loss_is_measured_on_the_target_after_adapting_to_the_context(loss, loss_steps):
    errors = []
    for row in range(4):
        values = adapted_values()[row]
        per_point = ((values - target().values[row]) ** 2).mean(-1)
        errors.append((per_point * target().weight[row]).sum(-1) / target().weight[row].sum())
    errors = np.array(errors)
    measured = errors if loss_steps == 'all' else errors[:, -1:]
    _, metrics = gradient(loss=LOSSES[loss], loss_steps=LOSS_STEPS[loss_steps])
    np.testing.assert_allclose(metrics['loss'], (measured if loss == 'mse' else np.log(measured)).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics['psnr_db'], (-10 * np.log10(errors[:, -1])).mean(), rtol=1e-4)


def test_every_choice_of_the_loss_has_a_gradient_of_its_own():
    choices = [gradient(loss=loss, loss_steps=steps)[0] for loss in LOSSES.values() for steps in LOSS_STEPS.values()]
    for index, one in enumerate(choices):
        for other in choices[index + 1 :]:
            assert difference(one, other) > 1e-2


def test_psnr_and_loss_are_in_units_of_the_data_range():
    wider = parts.make_learner(
        spec=parts.SPEC._replace(data_range=(0.0, 10.0)),
        loss=MSE,
        hypernetwork=SHARP,
        encoder='constant',
        num_steps=0,
    )
    narrow = parts.make_learner(loss=MSE, hypernetwork=SHARP, encoder='constant', num_steps=0)
    params = narrow.init(KEY, take(context(), 0)).params
    one, other = (parts.gradient(each, params, context(), target(), KEY)[1] for each in (narrow, wider))
    assert float(other['psnr_db'] - one['psnr_db']) == pytest.approx(20, abs=1e-3)
    np.testing.assert_allclose(other['loss'], one['loss'] / 100, rtol=1e-5)


def test_a_learner_is_varied_by_functions_of_its_user():
    """An absolute error as the loss, and inner steps along the sign of the gradient."""

    def absolute(predicted, target):
        return jnp.sum(jnp.mean(jnp.abs(predicted - target.values), axis=-1) * target.weight) / target.weight.sum()

    def sign_descent(code, rates, gradient):
        return jax.tree.map(lambda c, r, g: c - 0.01 * r * jnp.sign(g), code, rates, gradient)

    found, metrics = gradient(loss=absolute)
    errors = np.abs(adapted_values()[:, -1] - target().values).mean(-1) * target().weight
    np.testing.assert_allclose(metrics['loss'], (errors.sum(-1) / target().weight.sum(-1)).mean(), rtol=1e-4)
    assert difference(gradient()[0], found) > 1e-2
    learner, params = make(inner_step=sign_descent)
    before, after = (take(learner.adapt(params, take(context(), 0), 2), step) for step in (0, 1))
    change = after['layer_1']['w'] - before['layer_1']['w']
    np.testing.assert_allclose(np.abs(change[change != 0]), 0.001, rtol=1e-2)
    generated = learner.generate(params, take(context(), 0))
    alone = jax.tree.map(lambda leaf: leaf[:1], context())
    _, metrics = parts.gradient(learner, params, alone, alone, KEY)
    error = meta_learning.mse()(learner.inr.apply(generated, context().coords[0]), take(context(), 0))
    np.testing.assert_allclose(metrics['loss'], error, rtol=1e-4)


def test_first_order_changes_the_gradient_and_not_the_loss():
    second, first = gradient(), gradient(first_order=True)
    np.testing.assert_allclose(first[1]['loss'], second[1]['loss'], rtol=1e-6)
    assert difference(second[0]['base'], first[0]['base']) > 1e-2
    # The rates' own gradients remain.
    assert largest(first[0]['rates']) > 0


def test_rematerializing_changes_what_is_kept_and_not_the_gradient():
    plain, again = gradient(), gradient(rematerialize=True)
    assert difference(plain[0], again[0]) < 1e-4
    for options, expected in (({}, False), ({'rematerialize': True}, True)):
        text = traced(**options)
        assert ('checkpoint[' in text or 'remat' in text) == expected


@pytest.mark.exhaustive
def test_rematerializing_needs_the_memory_of_one_step():
    def workspace(**options):
        learner = parts.make_learner(num_steps=12, **options)
        state = jax.eval_shape(learner.init, KEY, take(context(), 0))
        return (
            jax.jit(learner.gradient).lower(state, context(), target()).compile().memory_analysis().temp_size_in_bytes
        )

    assert workspace(rematerialize=True) < workspace() / 2


def test_groups_that_do_not_fill_the_batch_are_refused():
    with pytest.raises(ValueError, match='group_size 3 must divide the 4 datapoints'):
        gradient(group_size=3)


@pytest.mark.parametrize('group_size', thin([1, 2, 4], lambda size: size == 2))
def test_grouping_changes_what_runs_together_and_not_the_gradient(group_size):
    assert difference(gradient()[0], gradient(group_size=group_size)[0]) < 1e-4
    assert str(4 // group_size) in re.findall(r'\blength=(\d+)', traced(group_size=group_size))


@pytest.mark.parametrize(
    'change',
    [
        {'num_steps': -1},
        {'loss': 'mse'},
        {'loss': meta_learning.mse},
        {'loss_steps': 'all'},
        {'loss_steps': meta_learning.last_step},
        {'inner_step': meta_learning.gradient_descent},
        {'context_points': 'error'},
        {'context_points': meta_learning.all_points},
        {'meta_gradient': 'reptile'},
        {'meta_gradient': meta_learning.reptile(), 'num_steps': 0},
        {'second_order_steps': -1},
        {'observed_fraction': 0.0},
        {'observed_fraction': 1.5},
        {'average_decay': 1.0},
        {'average_decay': -0.1},
        {'group_size': 0},
    ],
)
def test_wrong_options_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        parts.make_learner(**change)


@pytest.mark.parametrize(
    ('part', 'wrong', 'remedy'),
    [
        ('loss', meta_learning.mse, r'what meta_learning.log_mse\(\) or mse\(\) returns, not <function mse'),
        ('inner_step', meta_learning.gradient_descent, r'what meta_learning.gradient_descent\(\) returns'),
        ('loss_steps', meta_learning.last_step, r'what meta_learning.last_step\(\) or every_step\(\) returns'),
        ('meta_gradient', meta_learning.reptile, 'a MetaGradient, not <function'),
        ('context_points', 'error', "a PointChoice, not 'error'"),
    ],
)
def test_what_is_no_part_is_answered_by_its_factories(part, wrong, remedy):
    with pytest.raises(ValueError, match=f'{part} must be {remedy}'):
        parts.make_learner(**{part: wrong})


def test_losses_and_points_refuse_numbers_out_of_range():
    with pytest.raises(ValueError, match='floor'):
        meta_learning.log_mse(floor=0.0)
    for factory in (meta_learning.uniform_points, meta_learning.largest_error_points):
        with pytest.raises(ValueError, match='num_points=0'):
            factory(num_points=0)
    with pytest.raises(ValueError, match='stride=0'):
        meta_learning.every_kth(stride=0)
