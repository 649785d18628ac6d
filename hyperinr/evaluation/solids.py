"""Evaluation of INRs of solids: volumetric intersection over union, and the goal of a fit."""

import functools

import jax
import numpy as np

from hyperinr import metrics
from hyperinr.fitting import Goal
from hyperinr.kinds.solids import Level
from hyperinr.types import Array, Datapoint, Inr, InrWeights

__all__ = ['iou_goal', 'volumetric_iou']


@functools.cache
def iou_goal(level: Level, *, target: float, every: int) -> Goal:
    """Make a goal: an intersection over union, measured on each INR's evaluation points.

    Equal arguments give the same object.

    Args:
      level: level of the values.
      target: intersection over union to reach, in (0, 1].
      every: see `Goal`.
    """

    def reached(predicted: Array, probe: Datapoint) -> Array:
        found = metrics.intersection_over_union(level.inside(predicted), level.inside(probe.values), probe.weight)
        return found >= target

    return Goal(reached, every)


def volumetric_iou(inr: Inr, weights: InrWeights, probes: Datapoint, level: Level) -> np.ndarray:
    """Measure the intersection over union ``[B]`` of the solids in INRs and the true solids, one after the other.

    Args:
      inr: an INR of three coordinates.
      weights: of B INRs, leaves ``[B, ...]``.
      probes: M weighted evaluation points with the true values for each, ``[B, M, ...]``.
      level: level of the values.
    """
    apply, found = jax.jit(inr.apply), []
    for row in range(len(probes.coords)):
        tree, probe = jax.tree.map(lambda leaf, row=row: leaf[row], (weights, probes))
        inside, truth = level.inside(np.asarray(apply(tree, probe.coords))), level.inside(np.asarray(probe.values))
        found.append(float(metrics.intersection_over_union(inside, truth, probe.weight)))
    return np.asarray(found)
