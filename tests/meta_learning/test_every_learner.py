"""What every learner promises, for each row of `tests/parts.py`."""

import functools

import jax
import numpy as np
import pytest

from hyperinr.training import devices as devices_lib
from hyperinr.training.checkpoints import Checkpoints, restore_newest
from tests import parts
from tests.promises import (
    KEY,
    all_finite,
    assert_close,
    assert_equal,
    assert_rows_independent,
    rows,
    shapes,
    shapes_of_init,
    size,
    take,
)

FEW = ('MAML', 'points by error, truncated')
"""Those that `make test` compiles; `make test-all` compiles every row."""


@functools.cache
def learner_of(name):
    """A learner after one update, so that nothing is at a special value of its initialisation."""
    learner = parts.make_learner(**parts.LEARNERS[name])
    state = jax.jit(learner.init)(KEY, take(parts.datapoints(), 0))
    state, metrics = jax.jit(learner.update)(state, parts.datapoints(), parts.datapoints())
    return learner, state, metrics


@functools.cache
def generate_of(name):
    """``batch -> weights [B, ...]``, compiled."""
    learner, state, _ = learner_of(name)
    generate = jax.jit(jax.vmap(learner.generate, (None, 0)))
    return lambda batch: jax.device_get(generate(state.average, batch))


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_a_learner_generates_what_its_inr_takes(name):
    learner, state, _ = learner_of(name)
    weights = generate_of(name)(parts.datapoints())
    assert shapes(take(weights, 0)) == shapes_of_init(learner.inr)
    assert all_finite(weights)
    assert size(jax.tree.map(lambda leaf: leaf[0] - leaf[1], weights)) > 0
    weights = jax.eval_shape(lambda d: learner.adapt(state.params, d, 3), take(parts.datapoints(), 0))
    for leaf, (shape, dtype) in zip(
        jax.tree.leaves(weights), jax.tree.leaves(shapes_of_init(learner.inr), is_leaf=lambda x: isinstance(x, tuple)),
        strict=True,
    ):  # fmt: skip
        assert (leaf.shape, leaf.dtype) == ((4, *shape), dtype)


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_generating_is_adapting_by_the_steps_of_training(name):
    learner, state, _ = learner_of(name)
    datapoint = take(parts.datapoints(), 2)
    adapted = jax.jit(learner.adapt, static_argnums=2)(state.average, datapoint, learner.num_steps + 1)
    assert_close(take(adapted, learner.num_steps), take(generate_of(name)(parts.datapoints()), 2))
    start = jax.jit(learner.hypernetwork.encode)(state.average, datapoint)
    assert_close(take(adapted, 0), learner.hypernetwork.decode(state.average, start.code))


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_a_learner_under_jit_and_vmap(name):
    learner, state, _ = learner_of(name)
    assert_close(
        learner.generate(state.average, take(parts.datapoints(), 1)), take(generate_of(name)(parts.datapoints()), 1)
    )


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_a_learner_treats_each_datapoint_alone(name):
    assert_rows_independent(generate_of(name))


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_the_gradient_of_a_learner_is_finite_and_reaches_every_part(name):
    learner, state, _ = learner_of(name)
    gradient, metrics = jax.device_get(jax.jit(learner.gradient)(state, parts.datapoints(), parts.datapoints()))
    assert shapes(gradient) == shapes(state.params)
    assert all_finite((gradient, metrics))
    reached = {part for part, leaves in gradient.items() if size(leaves) > 0}
    expected = {part for part, leaves in gradient.items() if jax.tree.leaves(leaves)}
    assert reached == expected - (set() if learner.num_steps and name != 'Reptile' else {'rates'})


@rows(parts.LEARNERS)
def test_an_update_of_a_learner_keeps_the_form_of_its_state(name):
    learner, batch = parts.make_learner(**parts.LEARNERS[name]), parts.datapoints()
    first = jax.eval_shape(learner.init, KEY, take(batch, 0))
    state, metrics = jax.eval_shape(learner.update, first, batch, batch)
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert describe(state) == describe(first)
    assert all(value.shape == () for value in metrics.values())
    assert {'loss', 'psnr_db'} <= set(metrics)


@rows(parts.LEARNERS, FEW)
def test_an_update_moves_the_parameters(name):
    learner, state, metrics = learner_of(name)
    assert int(state.step) == 1
    assert all(np.isfinite(value) for value in metrics.values())
    start = jax.jit(learner.init)(KEY, take(parts.datapoints(), 0))
    assert size(jax.tree.map(lambda a, b: a - b, start.params, state.params)) > 0


@rows(parts.LEARNERS, FEW)
def test_a_state_of_a_learner_is_stored_exactly(name, tmp_path):
    learner, state, _ = learner_of(name)
    packed = jax.tree.map(np.array, devices_lib.pack(state))
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(packed, seconds=1.0)
    checkpoints.wait()
    checkpoints.close()
    found = restore_newest(tmp_path / 'checkpoints', jax.eval_shape(learner.init, KEY, take(parts.datapoints(), 0)))
    assert found.state.key == state.key
    assert_equal(devices_lib.pack(found.state), packed)
