"""Partial observations: which points are shown, to whom, and on what the result is judged."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import metrics
from hyperinr.evaluation import curves
from hyperinr.meta_learning.observation import STREAM, observe_fraction
from hyperinr.meta_learning.points import largest_error_points
from hyperinr.model import Model
from hyperinr.training.watching.evaluators.reconstruction import reconstructor
from tests import parts, tiny
from tests.training.subjects import make_subject

KEY = jax.random.key(0)


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


@pytest.mark.parametrize(('fraction', 'number'), [(0.1, 4), (0.5, 20), (0.001, 1)])
def test_so_many_of_the_points_that_count_keep_their_weight(fraction, number):
    datapoint = take(parts.datapoints(), 0)
    weight = np.where(np.arange(48) < 40, datapoint.weight, 0)
    found = np.asarray(observe_fraction(KEY, datapoint._replace(weight=weight), fraction).weight)
    kept = found > 0
    assert kept.sum() == number
    np.testing.assert_array_equal(found[kept], weight[kept])


def test_every_point_is_shown_as_often_and_all_of_them_at_one():
    datapoint = take(parts.datapoints(), 0)
    each = jax.vmap(lambda key: observe_fraction(key, datapoint, 0.25).weight > 0)(jax.random.split(KEY, 2000))
    np.testing.assert_allclose(np.mean(each, axis=0), 0.25, atol=0.05)
    assert observe_fraction(KEY, datapoint, 1) is datapoint


def test_the_hidden_values_reach_the_gradient_through_the_loss_alone():
    """A context whose hidden points hold anything gives the same gradient; the target's hidden points matter."""
    learner = parts.make_learner(observed_fraction=0.25, average_decay=None, num_steps=1)
    batch = parts.datapoints()
    params = jax.jit(learner.hypernetwork.init)(KEY, take(batch, 0))
    gradient = jax.jit(lambda context, target: parts.gradient(learner, params, context, target, KEY, 3)[0])
    before = gradient(batch, batch)
    observe_key = jax.random.split(jax.random.fold_in(KEY, 3), 3)[2]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(observe_key, batch.index)
    shown = np.asarray(jax.vmap(learner.observe)(keys, batch).weight) > 0
    assert shown.sum(axis=1).tolist() == [12] * 4
    spoilt = batch._replace(values=np.where(shown[..., None], batch.values, 7).astype(np.float32))
    jax.tree.map(np.testing.assert_array_equal, gradient(spoilt, batch), before)
    other = gradient(batch, spoilt)
    assert max(float(np.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (other, before)), strict=True)) > 1e-3


def test_the_points_are_drawn_anew_in_every_update():
    learner = parts.make_learner(observed_fraction=0.25, num_steps=1)
    params = jax.jit(learner.hypernetwork.init)(KEY, take(parts.datapoints(), 0))
    one = jax.jit(
        lambda step: parts.gradient(learner, params, parts.datapoints(), parts.datapoints(), KEY, step)[1]['loss']
    )
    assert len({float(one(step)) for step in (0, 0, 1, 2)}) == 3


def partial_model():
    spec = tiny.make_spec()
    learner = tiny.make_learner(spec)
    learner = learner._replace(observe=lambda key, datapoint: observe_fraction(key, datapoint, 0.1))
    return Model(learner, learner.init(KEY, tiny.Waves(spec, 1)[0]).params, spec, {})


@pytest.mark.exhaustive
def test_validation_shows_a_part_and_judges_the_whole():
    model = partial_model()
    source = tiny.Batched(model.spec, 3)
    subject = make_subject(model.learner, SimpleNamespace(spec=model.spec, splits={'validation': source}))
    reconstruct = reconstructor(subject, split='validation', num_datapoints=3, num_steps=2, keep_steps=(2,))
    found = [reconstruct(model.params).psnr_db.mean(axis=0) for _ in range(2)]
    np.testing.assert_array_equal(*found)
    expected = []
    for position in range(3):
        whole = source[position]
        key = jax.random.fold_in(jax.random.key(STREAM), jnp.int32(position))
        shown = observe_fraction(key, whole, 0.1)
        weights = jax.jit(model.learner.generate)(model.params, shown)
        expected.append(metrics.psnr(model.inr.apply(weights, whole.coords), whole.values, data_range=(0.0, 1.0)))
    np.testing.assert_allclose(found[0][-1], np.mean(expected), rtol=1e-3)


@pytest.mark.exhaustive
def test_evaluation_fits_a_part_and_judges_the_whole():
    model = partial_model()
    splits = {name: tiny.Waves(model.spec, 4, seed=seed) for seed, name in enumerate(('train', 'validation', 'test'))}
    report = curves.evaluate(
        model, SimpleNamespace(spec=model.spec, splits=splits), num_datapoints=2, steps=(0, 3),
        num_search_datapoints=1, num_timing_datapoints=1, num_examples=1,
    ).report  # fmt: skip
    np.testing.assert_allclose(report['protocol']['observed_fraction'], 19 / 192)
    assert report['protocol']['steps_to_reach'] is None
    whole = splits['test'][3]
    shown = observe_fraction(jax.random.fold_in(jax.random.key(STREAM), jnp.int32(3)), whole, 0.1)
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], shown)
    weights = take(model.finetune(batch, num_steps=3).weights, 0)
    expected = metrics.psnr(model.inr.apply(weights, whole.coords), whole.values, data_range=(0.0, 1.0))
    found = report['curves']['generated']['psnr_db_per_datapoint'][1]
    np.testing.assert_allclose(found[1], expected, rtol=1e-3)
    assert report['curves']['random']['psnr_db_per_datapoint'][1][0] < 40


def test_the_largest_errors_are_those_looked_at():
    inr = parts.INRS['siren']()
    weights = jax.jit(inr.init, static_argnums=1)(KEY, 2)
    datapoint = take(parts.datapoints(), 0)
    weight = np.where(np.arange(48) % 5 == 0, 0, datapoint.weight)
    datapoint = datapoint._replace(weight=weight)
    squares = np.sum((np.asarray(inr.apply(weights, datapoint.coords)) - datapoint.values) ** 2, axis=-1)
    select = lambda number: largest_error_points(num_points=number).select(datapoint, 0, (), lambda: squares)
    found = select(7)
    scores = weight * squares
    rows = np.argsort(-scores)[:7]
    np.testing.assert_array_equal(np.sort(found.weight), np.sort(weight[rows]))
    assert {tuple(row) for row in np.asarray(found.coords)} == {tuple(row) for row in datapoint.coords[rows]}
    assert select(48) is datapoint
