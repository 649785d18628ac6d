"""Fine-tuning from a generated start: what is counted, recorded and left alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting, hypernetworks, meta_learning
from hyperinr.errors import InputError
from hyperinr.meta_learning import batch_adaptation
from hyperinr.types import Hypernetwork, Start
from tests import parts
from tests.exhaustive import thin

OPTIMIZER = optax.adam(1e-3)


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def column(tree, index):
    return jax.tree.map(lambda leaf: leaf[:, index], tree)


def close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


@functools.cache
def make(num_steps=2, inr='siren'):
    learner = parts.make_learner(num_steps=num_steps, inr=inr, hypernetwork={'initial_delta': 0.1})
    return learner, jax.jit(learner.init)(jax.random.key(0), take(parts.datapoints(), 0)).params


@functools.cache
def adapted(num_steps):
    learner, params = make()
    return jax.jit(jax.vmap(lambda each: learner.adapt(params, each, num_steps)))(parts.datapoints())


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(apply, weights, coords):
    return jax.vmap(apply)(weights, coords)


def errors(learner, weights, batch):
    """Weighted mean squared errors of a batch of INRs, ``[B]``, in double precision."""
    values = np.asarray(_evaluate(learner.inr.apply, weights, batch.coords), np.float64)
    squares = ((values - batch.values) ** 2).mean(-1)
    return (squares * batch.weight).sum(-1) / batch.weight.sum(-1)


@pytest.mark.exhaustive
def test_steps_count_from_the_raw_output_and_the_learners_own_come_first():
    learner, params = make()
    batch = parts.datapoints()
    result = meta_learning.finetune(learner, params, batch, num_steps=5, optimizer=OPTIMIZER)
    assert result.mse.shape == (4, 6)
    for step in range(3):
        np.testing.assert_allclose(result.mse[:, step], errors(learner, column(adapted(2), step), batch), rtol=1e-4)
    generated = jax.jit(jax.vmap(learner.generate, (None, 0)))(params, batch)
    np.testing.assert_allclose(result.mse[:, 2], errors(learner, generated, batch), rtol=1e-4)
    later = fitting.fit(learner.inr, generated, batch, optimizer=OPTIMIZER, num_steps=3)
    np.testing.assert_allclose(result.mse[:, 2:], later.mse, rtol=1e-3)
    close(result.weights, later.weights)
    np.testing.assert_allclose(result.mse[:, 5], errors(learner, result.weights, batch), rtol=1e-4)


@pytest.mark.parametrize('record', [(0, 1, 2, 4), (1,), (3,), ()])
def test_the_weights_of_recorded_steps_are_kept(record):
    learner, params = make()
    batch = parts.datapoints()
    result = meta_learning.finetune(learner, params, batch, num_steps=4, record_steps=record, optimizer=OPTIMIZER)
    assert all(leaf.shape[:2] == (4, len(record)) for leaf in jax.tree.leaves(result.snapshots))
    for position, step in enumerate(record):
        snapshot = column(result.snapshots, position)
        np.testing.assert_allclose(errors(learner, snapshot, batch), result.mse[:, step], rtol=1e-4)
        if step <= 2:
            close(snapshot, column(adapted(2), step))
        if step == 4:
            close(snapshot, result.weights)


@pytest.mark.parametrize('num_steps', [0, 1])
def test_fewer_steps_than_the_learners_own_are_the_first_of_them(num_steps):
    learner, params = make()
    result = meta_learning.finetune(
        learner, params, parts.datapoints(), num_steps=num_steps, record_steps=(num_steps,), optimizer=OPTIMIZER
    )
    assert result.mse.shape == (4, num_steps + 1)
    close(result.weights, column(adapted(2), num_steps))
    close(column(result.snapshots, 0), result.weights)


def test_without_steps_of_its_own_all_are_the_optimizers():
    learner, params = make(num_steps=0)
    batch = parts.datapoints()
    result = meta_learning.finetune(learner, params, batch, num_steps=3, optimizer=OPTIMIZER)
    generated = jax.jit(jax.vmap(learner.generate, (None, 0)))(params, batch)
    expected = fitting.fit(learner.inr, generated, batch, optimizer=OPTIMIZER, num_steps=3)
    np.testing.assert_allclose(result.mse, expected.mse, rtol=1e-3)


def test_the_default_rule_does_not_undo_a_good_start():
    """From weights fitted to 30 dB and more it lowers the error at every step, where Adam multiplies it by tens."""
    learner, params = make(num_steps=0)
    batch = parts.datapoints()
    starts = jax.jit(jax.vmap(learner.generate, (None, 0)))(params, batch)
    fitted = fitting.fit(learner.inr, starts, batch, optimizer=optax.adam(3e-3), num_steps=400).weights
    start_of = lambda params, each: Start(take(params, each.index), jax.tree.map(lambda leaf: jnp.zeros((1,)), params))
    itself = Hypernetwork(lambda key, each: fitted, start_of, lambda params, code: code, None)
    fixed = meta_learning.meta_learner(hypernetwork=itself, inr=learner.inr, optimizer=OPTIMIZER, num_steps=0)
    errors = {}
    for name, chosen in (('default', {}), ('adam', {'optimizer': optax.adam(1e-3)})):
        errors[name] = meta_learning.finetune(fixed, fitted, batch, num_steps=15, metric_power=0, **chosen).mse
    worst = {name: float(jnp.max(error / error[:, :1])) for name, error in errors.items()}
    assert worst['default'] <= 1 < 10 < worst['adam']
    assert (errors['default'][:, -1] < 0.8 * errors['default'][:, 0]).all()


def test_datapoints_do_not_touch_each_other():
    learner, params = make()
    batch = parts.datapoints()
    values = batch.values.copy()
    values[1] = 1 - values[1]
    run = lambda batch: meta_learning.finetune(learner, params, batch, num_steps=4, optimizer=OPTIMIZER).mse
    before, after = (np.asarray(run(each)) for each in (batch, batch._replace(values=values)))
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])
    assert not np.allclose(after[1], before[1])


def test_a_second_call_traces_nothing():
    traces = []
    inr = parts.INRS['siren']()

    def apply(weights, coords):
        traces.append(1)
        return inr.apply(weights, coords)

    learner = parts.make_learner(inr=inr._replace(apply=apply))
    batch = parts.datapoints()
    params = jax.jit(learner.init)(jax.random.key(0), take(batch, 0)).params
    run = lambda batch, params: meta_learning.finetune(learner, params, batch, num_steps=4, record_steps=(1, 3))
    run(batch, params)
    after_first = len(traces)
    run(batch._replace(values=1 - batch.values), jax.tree.map(lambda leaf: 2 * leaf, params))
    assert len(traces) == after_first > 0


@pytest.mark.parametrize(
    'steps',
    [
        {'num_steps': -1},
        {'num_steps': 4, 'record_steps': (2, 1)},
        {'num_steps': 4, 'record_steps': (1, 1)},
        {'num_steps': 4, 'record_steps': (5,)},
        {'num_steps': 4, 'record_steps': (-1,)},
    ],
)
def test_wrong_steps_are_named(steps):
    learner, params = make()
    named = 'record_steps .* must be increasing and between 0 and num_steps = 4'
    with pytest.raises(InputError, match=named if 'record_steps' in steps else 'num_steps is -1; it must be 0 or more'):
        meta_learning.finetune(learner, params, parts.datapoints(), **steps)


def test_the_learned_metric_is_the_root_of_the_rates_over_their_geometric_mean():
    learner, params = make()
    logarithms = jax.tree.map(lambda leaf: 0.001 * jnp.arange(leaf.size).reshape(leaf.shape), params['rates'])
    found = meta_learning.learned_metric(learner, {**params, 'rates': logarithms}, parts.datapoints())
    last = jax.tree.map(lambda leaf: 200.0 * leaf[-1], logarithms)
    mean = np.mean(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(last)]))
    for row in range(4):
        close(take(found, row), jax.tree.map(lambda leaf: np.exp((leaf - mean) / 2), last))


@pytest.mark.parametrize('size', thin([1, 3, 7], lambda size: size == 3))
def test_a_batch_takes_the_steps_that_each_datapoint_takes_alone(size, monkeypatch):
    """Whatever is encoded together, and however the devices share the batch."""
    monkeypatch.setattr(batch_adaptation, 'ENCODED_TOGETHER', 3)
    learner, params = make()
    batch = take(parts.datapoints(), np.arange(size) % 4)
    batch = batch._replace(values=np.clip(batch.values + np.linspace(-0.2, 0.2, size)[:, None, None], 0, 1))
    jax.clear_caches()
    batch_adaptation._compiled.cache_clear()
    found = meta_learning.adapt_batch(learner, params, batch, num_steps=3, record_steps=(0, 3), metric_power=0.5)
    alone = jax.jit(learner.adapt, static_argnums=2)
    for row in range(size):
        path = alone(params, take(batch, row), 3)
        close(take(found.snapshots, row), take(path, np.array([0, 3])))
        close(take(found.weights, row), take(path, 3))
        four_times = take(batch, np.full(4, row))
        np.testing.assert_allclose(found.mse[row], errors(learner, path, four_times), rtol=1e-4)
    close(found.metric, meta_learning.learned_metric(learner, params, batch))
    close(meta_learning.generate_batch(learner, params, batch, num_steps=3), found.weights)


def test_weights_without_a_rate_keep_the_steps_of_the_optimizer():
    rates = hypernetworks.only_leaves(rates=hypernetworks.learned_rates(gain=1.0), pattern='layer_1/.*')
    learner = parts.make_learner(hypernetwork={'rates': rates})
    params = jax.jit(learner.init)(jax.random.key(0), take(parts.datapoints(), 0)).params
    ramp = lambda leaf: 0.01 * jnp.arange(leaf.size, dtype=float).reshape(leaf.shape)
    params['rates'] = jax.tree.map(ramp, params['rates'])
    metric = take(meta_learning.learned_metric(learner, params, parts.datapoints()), 0)
    assert all(np.all(leaf == 1) for layer in ('layer_0', 'layer_2') for leaf in jax.tree.leaves(metric[layer]))
    assert all(np.ptp(leaf) > 0.01 for leaf in jax.tree.leaves(metric['layer_1']))


def test_a_latent_has_no_metric():
    inr, encoder = parts.INRS['siren'](), parts.ENCODERS['constant'](parts.SPEC)
    latent = hypernetworks.modulations(inr=inr, encoder=encoder, latent_dims=4)
    learner = meta_learning.meta_learner(hypernetwork=latent, inr=inr, optimizer=OPTIMIZER, num_steps=1)
    params = jax.jit(learner.init)(jax.random.key(0), take(parts.datapoints(), 0)).params
    assert meta_learning.learned_metric(learner, params, parts.datapoints()) is None


def test_the_metric_multiplies_the_later_steps():
    learner, params = make()
    params = {**params, 'rates': jax.tree.map(lambda leaf: 0.002 * jnp.ones_like(leaf), params['rates'])}
    params['rates']['layer_0'] = jax.tree.map(jnp.zeros_like, params['rates']['layer_0'])
    batch = parts.datapoints()
    generated = jax.jit(jax.vmap(learner.generate, (None, 0)))(params, batch)
    moved = {}
    for power in (0.0, 0.5):
        tuned = meta_learning.finetune(
            learner, params, batch, num_steps=3, optimizer=optax.sgd(1e-1), metric_power=power
        ).weights
        moved[power] = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), tuned, generated)
    metric = meta_learning.learned_metric(learner, params, batch)
    close(moved[0.5], jax.tree.map(np.multiply, moved[0.0], metric))
    assert np.abs(moved[0.5]['layer_0']['w'] - moved[0.0]['layer_0']['w']).max() > 1e-5
