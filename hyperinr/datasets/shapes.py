"""Solids as datapoints: points in the cube and near the surface, with occupancy or signed distance.

A shape knows its surface and its inside; `ShapeSource` draws its points once and keeps them. Mescheder et al.,
"Occupancy networks" (2019), draw uniform points, the best of the ways compared in their section 4.6. Park et al.,
"DeepSDF" (2019), draw points near the surface. Here both are mixed.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

from hyperinr.arguments import check_choice
from hyperinr.datasets.base import Source
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['Arrays', 'PointRule', 'Quantity', 'ShapeSource', 'check_rule', 'draw_pool', 'draw_probe', 'shape_spec']

Quantity = Literal['occupancy', 'signed_distance']
POOL = 4
"""Points drawn once, as a multiple of a datapoint's points; each epoch takes some of them."""
KEPT = 64
"""Pools of points that one source keeps in memory."""
NUM_PROBES = 16384
"""Evaluation points: the standard error of an IoU of 0.97 is then at most 0.01 for the thinnest solids."""
SURFACE_STREAM, PROBE_STREAM = 2**30, 2**31
"""Beyond every epoch, so that surfaces and evaluation points have random numbers of their own."""
Arrays = tuple[np.ndarray, ...]


class Shape(Protocol):
    """A closed solid inside [-1, 1]^3."""

    def surface(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw points ``[count, 3]`` on the surface; consumes ``rng``."""
        ...

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Tell which points are inside, ``[n, 3]`` -> ``[n]`` bool."""
        ...

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Return the distance to the surface, ``[n, 3]`` -> ``[n]``, negative inside."""
        ...


class PointRule(NamedTuple):
    """How points are drawn, and which quantity is measured at them.

    Attributes:
      num_points: N, points of a datapoint.
      near_fraction: fraction of points near the surface, in [0, 1]; the others are uniform in [-1, 1]^3.
      near_distance: standard deviation of their distance to the surface, > 0.
      quantity: ``'occupancy'``: 1 inside, 0 outside; ``'signed_distance'``: negative inside, clipped.
      truncation: bound of the signed distance, > 0.
    """

    num_points: int
    near_fraction: float
    near_distance: float
    quantity: Quantity
    truncation: float


def check_rule(dataset: str, rule: PointRule) -> PointRule:
    """Return the rule; raise `InputError` for a number outside its range."""
    check_choice(f'{dataset}.quantity', rule.quantity, get_args(Quantity))
    if rule.num_points < 1 or not 0 <= rule.near_fraction <= 1 or min(rule.near_distance, rule.truncation) <= 0:
        raise InputError(
            f'{dataset} needs num_points >= 1, near_fraction in [0, 1], near_distance and truncation > 0, not '
            f'{rule.num_points}, {rule.near_fraction}, {rule.near_distance} and {rule.truncation}.'
        )
    return rule


def shape_spec(name: str, rule: PointRule, *, num_datapoints: int, num_labels: int) -> DatasetSpec:
    """Return the specification of scattered points with one channel."""
    data_range = (0.0, 1.0) if rule.quantity == 'occupancy' else (-rule.truncation, rule.truncation)
    spec = DatasetSpec(name, None, rule.num_points, 3, 1, data_range, kind=rule.quantity)
    return spec._replace(num_datapoints=num_datapoints, num_labels=num_labels)


def values_of(shape: Shape, points: np.ndarray, rule: PointRule) -> np.ndarray:
    """Return the quantity at points, ``[n, 3]`` -> ``[n, 1]`` float32."""
    points = np.asarray(points, np.float64)
    if rule.quantity == 'occupancy':
        return shape.inside(points).astype(np.float32)[:, None]
    distance = np.clip(shape.signed_distance(points), -rule.truncation, rule.truncation)
    return distance.astype(np.float32)[:, None]


def draw_pool(shape: Shape, rule: PointRule, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw M = 4 ``num_points`` points ``[M, 3]`` in [-1, 1]^3 in random order, and their values ``[M, 1]``."""
    total = POOL * rule.num_points
    near = round(rule.near_fraction * total)
    uniform = rng.uniform(-1, 1, (total - near, 3))
    close = shape.surface(rng, near) + rng.normal(0, rule.near_distance, (near, 3))
    points = np.concatenate([uniform, np.clip(close, -1, 1)])[rng.permutation(total)].astype(np.float32)
    return points, values_of(shape, points, rule)


def draw_probe(shape: Shape, rule: PointRule, rng: np.random.Generator) -> Arrays:
    """Draw points that measure volumes: half of them uniform in the cube, half in a box around the surface.

    Returns:
      Points ``[M, 3]`` in [-1, 1]^3, their values ``[M, 1]``, and their weights ``[M]``, proportional to one over their
      density. A weighted sum over them is an integral over the cube up to a factor; the box does not bias it.
    """
    surface = shape.surface(rng, 1024)
    margin = 0.1 * (surface.max(axis=0) - surface.min(axis=0))
    low, high = np.clip(surface.min(axis=0) - margin, -1, 1), np.clip(surface.max(axis=0) + margin, -1, 1)
    half = (NUM_PROBES // 2, 3)
    points = np.concatenate([rng.uniform(-1, 1, half), rng.uniform(low, high, half)])
    in_box = np.all((points >= low) & (points <= high), axis=1)
    weight = 1 / (0.5 / 8 + 0.5 * in_box / np.prod(high - low))
    points = points.astype(np.float32)
    return points, values_of(shape, points, rule), (weight / weight.mean()).astype(np.float32)


class ShapeSource(Source):
    """A `Source` of shapes.

    Args:
      shapes: ``position -> Shape``.
      names: names of the shapes.
      labels: ``[count]`` classes.
      rule: how points are drawn.
      stream: numbers that, with the position, seed the random numbers.
      kept: ``(position, what, make) -> arrays``, a store of arrays beyond this process, under the name ``what``; it
        calls ``make`` for arrays that it does not have. By default nothing is stored.
    """

    def __init__(
        self,
        shapes: Callable[[int], Shape],
        names: Sequence[str],
        labels: np.ndarray,
        rule: PointRule,
        *,
        stream: tuple[int, int],
        kept: Callable[[int, str, Callable[[], Arrays]], Arrays] = lambda position, what, make: make(),
    ):
        super().__init__(len(names))
        self.labels: np.ndarray = np.asarray(labels, np.int32)
        self._shapes, self._names, self._rule, self._stream = shapes, list(names), rule, stream

        def pool(index: int) -> Arrays:
            return kept(index, 'points', lambda: draw_pool(shapes(index), rule, self._random(index)))

        def probe(index: int, draw: int) -> Arrays:
            rng = self._random(index, PROBE_STREAM + draw)
            return kept(index, f'probe-{draw}', lambda: draw_probe(shapes(index), rule, rng))

        self._pool = functools.lru_cache(KEPT)(pool)
        self._probe = functools.lru_cache(KEPT)(probe)

    def names(self, index: int) -> str:
        return self._names[index]

    def evaluate(self, index: int, coords: np.ndarray) -> np.ndarray:
        """Return the true values at any ``coords [n, 3]``: ``[n, 1]`` float32."""
        self.check(index)
        return values_of(self._shapes(index), coords, self._rule)

    def probe(self, index: int, draw: int = 0) -> Datapoint:
        """Return evaluation points ``[M]``, weighted so that they measure volumes; see `draw_probe`.

        No datapoint has these points.

        Args:
          index: position of the shape.
          draw: >= 0; each number gives other points.
        """
        self.check(index)
        points, values, weight = self._probe(index, draw)
        return self._datapoint(index, points, values, weight)

    def surface(self, index: int, count: int) -> np.ndarray:
        """Draw points ``[count, 3]`` on the surface, the same in every call."""
        self.check(index)
        return self._shapes(index).surface(self._random(index, SURFACE_STREAM), count)

    def _random(self, index: int, *further: int) -> np.random.Generator:
        return np.random.default_rng([*self._stream, index, *further])

    def read(self, index: int, epoch: int | None) -> Datapoint:
        points, values = self._pool(index)
        count = self._rule.num_points
        rows = np.arange(count)
        if epoch is not None:
            rows = self._random(index, epoch + 1).choice(len(points), count, replace=False)
        return self._datapoint(index, points[rows], values[rows], np.ones(count, np.float32))

    def _datapoint(self, index: int, points: np.ndarray, values: np.ndarray, weight: np.ndarray) -> Datapoint:
        return Datapoint(points, values, weight, np.asarray(index, np.int32), self.labels[index])
