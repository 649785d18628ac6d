"""The fitting engine against loops, closed forms and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting, metrics
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, Inr
from tests.exhaustive import thin
from tests.fitting import problems

LINEAR = Inr(
    init=lambda key, dims: {'layer_0': {'w': jax.random.normal(key, (dims, 2)), 'b': jnp.zeros(2)}},
    apply=lambda weights, coords: coords @ weights['layer_0']['w'] + weights['layer_0']['b'][None],
    metadata={'kind': 'linear'},
)
TWO_LAYERS = Inr(
    init=lambda key, dims: {
        'layer_0': {'w': jax.random.normal(key, (dims, 5)), 'b': jnp.zeros(5)},
        'layer_1': {'w': jax.random.normal(jax.random.fold_in(key, 1), (5, 2)), 'b': jnp.zeros(2)},
    },
    apply=lambda weights, coords: (
        jnp.sin(coords @ weights['layer_0']['w'] + weights['layer_0']['b'][None]) @ weights['layer_1']['w']
        + weights['layer_1']['b'][None]
    ),
    metadata={'kind': 'test'},
)


def make_batch(num_datapoints=3, num_points=12, seed=0):
    rng = np.random.default_rng(seed)
    return Datapoint(
        coords=rng.uniform(-1, 1, (num_datapoints, num_points, 2)).astype(np.float32),
        values=rng.uniform(0, 1, (num_datapoints, num_points, 2)).astype(np.float32),
        weight=rng.uniform(0.2, 1, (num_datapoints, num_points)).astype(np.float32),
        index=np.arange(num_datapoints, dtype=np.int32),
    )


def make_starts(inr, num_datapoints=3, seed=0):
    return jax.vmap(lambda key: inr.init(key, 2))(jax.random.split(jax.random.key(seed), num_datapoints))


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


@pytest.mark.parametrize('momentum', thin([False, True], lambda momentum: not momentum))
def test_agrees_with_a_python_loop_over_unflattened_weights(momentum):
    optimizer = optax.sgd(0.1, momentum=0.9) if momentum else optax.adam(1e-2)
    batch, starts = make_batch(), make_starts(TWO_LAYERS)
    result = fitting.fit(TWO_LAYERS, starts, batch, optimizer=optimizer, num_steps=7, record_steps=(0, 3, 7))
    for row in range(3):
        datapoint, weights = take(batch, row), take(starts, row)
        loss = lambda weights, datapoint=datapoint: metrics.mean_squared_error(
            TWO_LAYERS.apply(weights, datapoint.coords), datapoint.values, datapoint.weight
        )
        state, snapshots, errors = optimizer.init(weights), [weights], [loss(weights)]
        for _ in range(7):
            updates, state = optimizer.update(jax.grad(loss)(weights), state, weights)
            weights = optax.apply_updates(weights, updates)
            snapshots.append(weights)
            errors.append(loss(weights))
        close = lambda found, expected: np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-6)
        close(result.mse[row], np.asarray(errors))
        jax.tree.map(close, take(result.weights, row), weights)
        for column, step in enumerate((0, 3, 7)):
            jax.tree.map(close, take(take(result.snapshots, row), column), snapshots[step])


def test_a_linear_field_reaches_its_weighted_least_squares_solution():
    batch, starts = make_batch(), make_starts(LINEAR)
    result = fitting.fit(LINEAR, starts, batch, optimizer=optax.sgd(0.5, momentum=0.9), num_steps=400)
    for row in range(3):
        design = np.concatenate([batch.coords[row], np.ones((12, 1), np.float32)], axis=1)
        root = np.sqrt(batch.weight[row])[:, None]
        solution = np.linalg.lstsq(root * design, root * batch.values[row], rcond=None)[0]
        np.testing.assert_allclose(result.weights['layer_0']['w'][row], solution[:2], atol=1e-4)
        np.testing.assert_allclose(result.weights['layer_0']['b'][row], solution[2], atol=1e-4)


def test_padding_has_no_influence():
    batch, starts = make_batch(), make_starts(TWO_LAYERS)
    padded = batch._replace(weight=batch.weight * (np.arange(12) < 9))
    other = padded._replace(values=np.where(np.arange(12)[None, :, None] < 9, batch.values, 100.0).astype(np.float32))
    run = lambda batch: fitting.fit(TWO_LAYERS, starts, batch, optimizer=OPTIMIZER, num_steps=5).mse
    np.testing.assert_array_equal(run(padded), run(other))
    assert not np.allclose(run(padded), run(batch))


OPTIMIZER = optax.adam(1e-2)


def test_inrs_of_a_batch_do_not_touch_each_other():
    batch, starts = make_batch(), make_starts(TWO_LAYERS)
    changed = batch._replace(values=batch.values.copy())
    changed.values[1] += 0.5
    run = lambda batch: fitting.fit(TWO_LAYERS, starts, batch, optimizer=OPTIMIZER, num_steps=5)
    before, after = run(batch), run(changed)
    np.testing.assert_array_equal(before.mse[::2], after.mse[::2])
    assert not np.allclose(before.mse[1], after.mse[1])


@pytest.mark.exhaustive
def test_mapping_one_by_one_and_batched_agree(monkeypatch):
    batch, starts = make_batch(), make_starts(TWO_LAYERS)
    one = lambda weights, datapoint: fitting.fit_one(TWO_LAYERS, weights, datapoint, optimizer=OPTIMIZER, num_steps=4)
    mapped = fitting.map_datapoints(one, starts, batch)
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    batched = fitting.map_datapoints(one, starts, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), mapped, batched)


def test_zero_steps_return_the_start():
    batch, starts = make_batch(), make_starts(TWO_LAYERS)
    result = fitting.fit(TWO_LAYERS, starts, batch, optimizer=OPTIMIZER, num_steps=0, record_steps=(0,))
    jax.tree.map(np.testing.assert_array_equal, result.weights, starts)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:, 0], b), result.snapshots, starts)
    assert result.mse.shape == (3, 1)


def test_a_second_call_does_not_trace_again():
    traces = []

    def apply(weights, coords):
        traces.append(1)
        return LINEAR.apply(weights, coords)

    inr = LINEAR._replace(apply=apply)
    fitting.fit(inr, make_starts(inr), make_batch(), optimizer=OPTIMIZER, num_steps=2)
    after_first = len(traces)
    fitting.fit(inr, make_starts(inr, seed=1), make_batch(seed=1), optimizer=OPTIMIZER, num_steps=2)
    assert len(traces) == after_first > 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'record_steps': (2, 1)}, 'increasing'),
        ({'record_steps': (0, 5)}, 'between 0 and num_steps = 4'),
        ({'num_steps': -1}, '0 or more'),
    ],
)
def test_wrong_steps_are_named(change, message):
    with pytest.raises(InputError, match=message):
        fitting.fit(LINEAR, make_starts(LINEAR), make_batch(), **({'optimizer': OPTIMIZER, 'num_steps': 4} | change))


def test_unequal_batches_are_refused():
    with pytest.raises(InputError, match='leading batch axis'):
        fitting.fit(LINEAR, make_starts(LINEAR, 2), make_batch(3), optimizer=OPTIMIZER, num_steps=1)


WAYS = [None, fitting.Batching('vmapped', 2, 1, steps_per_round=2)]


@pytest.mark.parametrize('batching', thin(WAYS, lambda way: way is not None))
def test_a_step_scale_multiplies_each_inrs_own_updates(batching):
    data, weights = problems.batch(3), problems.starts(problems.SIREN, 3)
    scale = jax.tree.map(lambda leaf: np.ones_like(leaf), weights)
    scale['layer_1']['w'][0] = 0
    scale['layer_2']['b'][2] = 5
    optimizer = optax.sgd(1e-2)
    fitted = fitting.fit(
        problems.SIREN, weights, data, optimizer=optimizer, num_steps=1, step_scale=scale, batching=batching
    )
    plain = fitting.fit(problems.SIREN, weights, data, optimizer=optimizer, num_steps=1)
    moved, expected = (jax.tree.map(np.subtract, each.weights, weights) for each in (fitted, plain))
    jax.tree.map(
        lambda a, b, factor: np.testing.assert_allclose(a, factor * b, rtol=1e-3, atol=1e-6), moved, expected, scale
    )
    assert np.abs(expected['layer_1']['w'][0]).max() > 1e-5


def test_a_step_scale_of_other_leaves_is_refused():
    data, weights = problems.batch(2), problems.starts(problems.SIREN, 2)
    with pytest.raises(InputError, match='leaves of the weights'):
        fitting.fit(
            problems.SIREN, weights, data, optimizer=optax.sgd(1e-2), num_steps=1,
            step_scale={name: weights[name] for name in ('layer_0', 'layer_1')},
        )  # fmt: skip
