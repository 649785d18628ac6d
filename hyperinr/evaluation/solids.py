"""Solids as signals: what of an INR is inside, how much of the volume is right, and that as the target of a fit."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from hyperinr import metrics
from hyperinr.fitting import Goal
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights

__all__ = ['Level', 'iou_goal', 'level_of', 'volumetric_iou']


class Level(NamedTuple):
    """Which values are inside.

    Attributes:
      value: at the surface.
      inside_is_high: whether they are above it.
    """

    value: float
    inside_is_high: bool

    def inside(self, values: Array) -> Array:
        """``[..., M, C] -> [..., M]`` bool, by the first channel."""
        return values[..., 0] > self.value if self.inside_is_high else values[..., 0] < self.value


def level_of(spec: DatasetSpec) -> Level:
    """Return the level of occupancy, in [0, 1] and high inside, or of a signed distance, which is negative there."""
    return Level(0.0, False) if spec.data_range[0] < 0 else Level(0.5, True)


@functools.cache
def iou_goal(level: Level, *, target: float, every: int) -> Goal:
    """Make a target of an intersection over union, measured on each INR's probe; equal arguments give one object.

    Args:
      level: of the values.
      target: in (0, 1].
      every: see `Goal`.
    """

    def reached(predicted: Array, probe: Datapoint) -> Array:
        found = metrics.intersection_over_union(level.inside(predicted), level.inside(probe.values), probe.weight)
        return found >= target

    return Goal(reached, every)


def volumetric_iou(inr: Inr, weights: InrWeights, probe: Datapoint, level: Level) -> float:
    """Measure the intersection over union of the solid in an INR and the one that ``probe`` was drawn from.

    Args:
      inr: of three coordinates.
      weights: unbatched.
      probe: M weighted points with the true values.
      level: of the values.
    """
    predicted = np.asarray(jax.jit(inr.apply)(weights, probe.coords))
    inside, truth = level.inside(predicted), level.inside(np.asarray(probe.values))
    return float(metrics.intersection_over_union(inside, truth, probe.weight))
