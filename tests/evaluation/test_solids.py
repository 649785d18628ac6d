"""Intersection over union as a target: reached where it says so, by an independent count of points."""

import functools

import jax
import numpy as np
import pytest

from hyperinr import datasets, fitting, neural_datasets
from hyperinr.evaluation.solids import iou_goal, volumetric_iou
from hyperinr.kinds.solids import Level, level_of
from hyperinr.types import Datapoint, Inr
from tests.neural_datasets.tiny_store import OPTIMIZER, fit_tiny, tiny_job


@functools.cache
def solids(quantity):
    return datasets.solids(num_train=2, num_validation=1, num_test=1, num_points=512, quantity=quantity)


def test_iou_of_an_inr_that_is_a_ball_is_that_of_the_balls():
    """Uniform probes of a ball of radius 0.8 and an INR of one of 0.5."""
    points = np.random.default_rng(0).uniform(-1, 1, (100_000, 3)).astype(np.float32)
    radii = np.linalg.norm(points, axis=1, keepdims=True)
    inr = Inr(
        lambda key, dims: {}, lambda weights, coords: 0.5 - jax.numpy.linalg.norm(coords, axis=1, keepdims=True), {}
    )
    probes = Datapoint(points[None], (0.8 - radii)[None], np.ones((1, len(points)), np.float32), np.zeros(1, int))
    np.testing.assert_allclose(volumetric_iou(inr, {}, probes, Level(0.0, True)), [(0.5 / 0.8) ** 3], rtol=0.03)


def test_equal_goals_are_one_object_and_are_compiled_once():
    level = level_of(solids('occupancy').spec)
    assert iou_goal(level, target=0.9, every=5) is iou_goal(level, target=0.9, every=5)
    assert iou_goal(level, target=0.9, every=5) is not iou_goal(level, target=0.8, every=5)


@pytest.mark.exhaustive
@pytest.mark.parametrize('quantity', ['occupancy', 'signed_distance'])
def test_a_target_iou_stops_each_solid_at_its_own_look(tmp_path, quantity):
    """Oracle: the same fit without a target, its weights recorded at every look, points counted in NumPy."""
    options = {'seeds': (0,), 'dataset': solids(quantity), 'num_steps': 60, 'width': 8}
    job = tiny_job(**options)
    batch, probes = job.signals.batch(np.arange(4)), job.signals.probes(np.arange(4))
    looks = (0, 15, 30, 45, 60)
    full = fitting.fit(
        job.inr, job.starts(np.zeros(4, int), batch), batch, optimizer=OPTIMIZER, num_steps=60, record_steps=looks
    )
    ious = np.zeros((4, len(looks)))
    for row in range(4):
        for column in range(len(looks)):
            tree = jax.tree.map(lambda leaf, row=row, column=column: leaf[row, column], full.snapshots)
            predicted = np.asarray(job.inr.apply(tree, probes.coords[row]))[:, 0]
            inside = [predicted > 0.5, probes.values[row, :, 0] > 0.5]
            if quantity == 'signed_distance':
                inside = [predicted < 0, probes.values[row, :, 0] < 0]
            weight = probes.weight[row].astype(float)
            ious[row, column] = weight[inside[0] & inside[1]].sum() / weight[inside[0] | inside[1]].sum()
    best = ious.max(axis=1)
    target = float(np.sort(best)[1:3].mean())
    fit_tiny(tmp_path, tiny_job(**options, target_iou=target, steps_per_look=15))
    store = neural_datasets.open_store(tmp_path)
    for row in range(4):
        reached = [number for number in range(len(looks)) if ious[row, number] >= target]
        last = reached[0] if reached else len(looks) - 1
        assert store.column('steps')[row] == looks[last]
        np.testing.assert_allclose(store.column('iou')[row], ious[row, last], atol=1e-3)
        assert store.column('status')[row] == (0 if reached else 2)
    assert set(store.column('status').tolist()) == {0, 2}
    assert store.where(min_iou=target).tolist() == store.where(status='ok').tolist()


def test_what_is_no_solid_has_no_iou(tmp_path):
    fit_tiny(tmp_path, end=4)
    store = neural_datasets.open_store(tmp_path)
    assert np.isnan(store.column('iou')).all()
    assert store.where(min_iou=0.0).size == 0
