"""The meta-learner: its gradient against finite differences and hand-written loops, and what every option does."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from hyperinr import inrs
from hyperinr.meta_learning import learner as learner_module
from hyperinr.meta_learning.adaptation import reconstruction_error
from hyperinr.types import Datapoint
from tests import parts

KEY = jax.random.key(0)
SHARP = {'initial_rate': 0.1, 'rate_gain': 10.0}
"""Inner steps large enough for their second derivatives to matter."""


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def context():
    return parts.datapoints(4)


def target():
    """The same signals as `context` at other points, with other weights."""
    batch = parts.datapoints(4)
    order = np.random.default_rng(5).permutation(batch.coords.shape[1])[:30]
    return batch._replace(
        coords=batch.coords[:, order], values=batch.values[:, order], weight=batch.weight[:, order] ** 2
    )


@functools.cache
def make(encoder='set_encoder', **options):
    """A learner and its parameters; all options that tests vary are given, whatever the defaults."""
    options = {key: thaw(value) for key, value in options.items()}
    plain = {'loss': 'mse', 'average_decay': None, 'hypernetwork': SHARP, 'num_steps': 2}
    return parts.make_learner(encoder=encoder, **(plain | options)), fresh(encoder, options.get('hypernetwork', SHARP))


def fresh(encoder, hypernetwork):
    """Parameters do not depend on the options of the learner."""
    key = (encoder, *sorted(hypernetwork.items()))
    if key not in FRESH:
        part = parts.make_hypernetwork(encoder=encoder, **hypernetwork)
        FRESH[key] = jax.device_get(jax.jit(part.init)(KEY, take(context(), 0)))
    return FRESH[key]


FRESH = {}


def thaw(value):
    return dict(value) if isinstance(value, tuple) else value


@functools.cache
def compiled(encoder='set_encoder', **options):
    learner, _ = make(encoder, **options)
    return jax.jit(lambda params, key, step: parts.gradient(learner, params, context(), target(), key, step))


@functools.cache
def gradient(encoder='set_encoder', key=0, step=0, **options):
    _, params = make(encoder, **options)
    return jax.device_get(compiled(encoder, **options)(params, jax.random.key(key), step))


def traced(**options):
    """The computation of the gradient as text."""
    learner, params = make(**options)
    return str(jax.make_jaxpr(lambda params: parts.gradient(learner, params, context(), target(), KEY))(params))


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def difference(one, other):
    """Largest difference between two gradients, as a fraction of the largest entry."""
    return largest(jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), one, other)) / largest(one)


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
    options = {'rates': 'layer', 'num_rate_steps': 2, **SHARP}
    learner, params = make('constant', hypernetwork=tuple(options.items()))
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
    found, metrics = gradient('constant', hypernetwork=tuple(options.items()))
    np.testing.assert_allclose(metrics['loss'], expected, rtol=1e-5)
    assert difference(slopes[0], found['base']) < 1e-4
    # A rate is initial_rate * exp(10 parameter).
    assert difference(jax.tree.map(lambda leaf: 10 * 0.1 * leaf, slopes[1]), found['rates']) < 1e-4


@pytest.mark.parametrize('loss', ['mse', 'log_mse'])
@pytest.mark.parametrize('loss_steps', ['last', 'all'])
def test_the_loss_is_measured_on_the_target_after_adapting_to_the_context(loss, loss_steps):
    errors = []
    for row in range(4):
        values = adapted_values()[row]
        per_point = ((values - target().values[row]) ** 2).mean(-1)
        errors.append((per_point * target().weight[row]).sum(-1) / target().weight[row].sum())
    errors = np.array(errors)
    measured = errors if loss_steps == 'all' else errors[:, -1:]
    _, metrics = gradient(loss=loss, loss_steps=loss_steps)
    np.testing.assert_allclose(metrics['loss'], (measured if loss == 'mse' else np.log(measured)).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics['psnr_db'], (-10 * np.log10(errors[:, -1])).mean(), rtol=1e-4)


def test_every_choice_of_the_loss_has_a_gradient_of_its_own():
    choices = [gradient(loss=loss, loss_steps=steps)[0] for loss in ('mse', 'log_mse') for steps in ('last', 'all')]
    for index, one in enumerate(choices):
        for other in choices[index + 1 :]:
            assert difference(one, other) > 1e-2


def test_psnr_is_in_units_of_the_data_range():
    wider = parts.make_learner(
        spec=parts.SPEC._replace(data_range=(0.0, 10.0)),
        loss='mse',
        hypernetwork=SHARP,
        encoder='constant',
        num_steps=0,
    )
    narrow = parts.make_learner(loss='mse', hypernetwork=SHARP, encoder='constant', num_steps=0)
    params = narrow.init(KEY, take(context(), 0)).params
    psnr = [float(parts.gradient(each, params, context(), target(), KEY)[1]['psnr_db']) for each in (narrow, wider)]
    assert psnr[1] - psnr[0] == pytest.approx(20, abs=1e-3)


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


@pytest.mark.parametrize('group_size', [1, 2, 4])
def test_grouping_changes_what_runs_together_and_not_the_gradient(group_size):
    assert difference(gradient()[0], gradient(group_size=group_size)[0]) < 1e-4
    assert str(4 // group_size) in re.findall(r'\blength=(\d+)', traced(group_size=group_size))


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
    assert points_seen(num_context_points=11, num_target_points=7) == {11, 7}
    assert points_seen(num_context_points=1000, num_target_points=1000) == {48, 30}
    assert points_seen(num_context_points=11, num_steps=0) == {30}


@pytest.mark.parametrize('option', ['num_context_points', 'num_target_points'])
def test_the_points_are_drawn_by_key_and_step(option):
    """Of the run and of the step."""
    loss = lambda **options: float(gradient(**options)[1]['loss'])
    assert len({loss(**draw, **{option: 7}) for draw in ({}, {'key': 1}, {'step': 1})}) == 3
    assert loss() == loss(key=1) == loss(step=1)


def test_points_are_drawn_anew_in_every_step_shared_by_the_batch_and_together():
    number = np.broadcast_to(np.arange(20.0, dtype=np.float32), (3, 20))
    batch = Datapoint(number[..., None], 2 * number[..., None], 3 * number, np.arange(3))
    seen = learner_module._points_per_step(KEY, batch, 4, 6)
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
    few, params = make(num_context_points=7, num_target_points=7)
    all_points, _ = make()
    datapoint = take(context(), 0)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(few.generate)(params, datapoint),
        jax.jit(all_points.generate)(params, datapoint),
    )


def test_beyond_the_steps_of_training_the_last_rates_go_on():
    learner, params = make(hypernetwork=(('num_rate_steps', 2), ('rates', 'layer'), *SHARP.items()))
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


@pytest.mark.parametrize('average_decay', [0.5, None])
def test_an_update_is_a_step_of_the_optimizer_along_the_gradient(average_decay):
    rate = 0.05
    learner = parts.make_learner(optimizer=optax.sgd(rate), num_context_points=7, average_decay=average_decay)
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


def test_training_and_generation_take_the_same_steps_on_parts():
    halves, _ = make(step_parts=2)
    whole, params = make()
    datapoint = take(context(), 0)
    error = lambda weights: reconstruction_error(halves.inr, weights, datapoint)
    found, path = halves.generate(params, datapoint), halves.adapt(params, datapoint, 2)
    jax.tree.map(lambda one, all_of_them: np.testing.assert_allclose(one, all_of_them[-1], atol=1e-6), found, path)
    alone = jax.tree.map(lambda leaf: leaf[:1], context())
    _, metrics = parts.gradient(halves, params, alone, alone, KEY)
    np.testing.assert_allclose(metrics['psnr_db'], -10 * np.log10(error(found)), rtol=1e-4)
    assert abs(float(error(found) / error(whole.generate(params, datapoint))) - 1) > 1e-3


@pytest.mark.parametrize('options', [
    {'num_steps': 0},
    {'num_steps': 1},
    {'num_steps': 3, 'loss_steps': 'all'},
    {'num_steps': 2, 'first_order': True},
    {'num_steps': 2, 'num_context_points': 12, 'num_target_points': 7},
    {'num_steps': 3, 'step_parts': 3},
], ids=str)  # fmt: skip
def test_flops_are_those_of_the_matrix_products(options):
    """A few per cent above: the formula counts derivatives by the coordinates, which nobody needs."""
    inr = inrs.siren(channels=3, width=64, depth=3)
    learner = parts.make_learner(inr=inr, encoder='constant', **options)
    params = jax.eval_shape(learner.init, KEY, take(context(), 0)).params
    jaxpr = jax.make_jaxpr(lambda params: parts.gradient(learner, params, context(), context(), KEY))(params)
    counted = products(jaxpr.jaxpr)
    assert counted <= learner.flops(context()) < 1.1 * counted


@pytest.mark.parametrize(
    'change',
    [
        {'num_steps': -1},
        {'loss': 'l1'},
        {'loss_steps': 'first'},
        {'average_decay': 1.0},
        {'average_decay': -0.1},
        {'group_size': 0},
        {'step_parts': 0},
        {'step_parts': 2, 'num_context_points': 8},
    ],
)
def test_wrong_options_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        parts.make_learner(**change)
