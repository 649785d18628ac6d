"""Procedural solids with exact signed distances: spheres, boxes, tori, capsules and cylinders, turned and scaled."""

from collections.abc import Callable

import numpy as np

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_counts
from hyperinr.datasets.base import Dataset
from hyperinr.datasets.shapes import PointRule, Quantity, ShapeSource, check_rule, shape_spec

__all__ = ['FAMILIES', 'Solid', 'solids']

REACH = 0.9
"""Largest distance of a solid from the origin along any axis."""
Distance = Callable[[np.ndarray], np.ndarray]


def _outside(beyond: np.ndarray) -> np.ndarray:
    """Return the distance ``[n]`` to a body of perpendicular faces, from the distances beyond each face, ``[n, k]``."""
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)


def _sphere(rng: np.random.Generator) -> tuple[Distance, float]:
    radius = rng.uniform(0.3, 0.7)
    return lambda p: np.linalg.norm(p, axis=1) - radius, radius


def _box(rng: np.random.Generator) -> tuple[Distance, float]:
    half = rng.uniform(0.2, 0.5, 3)

    return lambda p: _outside(np.abs(p) - half), float(np.linalg.norm(half))


def _torus(rng: np.random.Generator) -> tuple[Distance, float]:
    ring = rng.uniform(0.35, 0.55)
    tube = rng.uniform(0.1, 0.25)

    return lambda p: np.hypot(np.hypot(p[:, 0], p[:, 1]) - ring, p[:, 2]) - tube, ring + tube


def _capsule(rng: np.random.Generator) -> tuple[Distance, float]:
    half, radius = rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.3)

    beyond = lambda z: z - np.clip(z, -half, half)
    distance = lambda p: np.sqrt(p[:, 0] ** 2 + p[:, 1] ** 2 + beyond(p[:, 2]) ** 2) - radius
    return distance, half + radius


def _cylinder(rng: np.random.Generator) -> tuple[Distance, float]:
    half, radius = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5)

    distance = lambda p: _outside(np.stack([np.hypot(p[:, 0], p[:, 1]) - radius, np.abs(p[:, 2]) - half], axis=1))
    return distance, float(np.hypot(half, radius))


FAMILIES = {'sphere': _sphere, 'box': _box, 'torus': _torus, 'capsule': _capsule, 'cylinder': _cylinder}
"""Name -> ``rng -> (signed distance about the origin, radius of the enclosing ball)``; the order numbers the labels."""


class Solid:
    """A solid of one family, rotated at random and moved at random within `REACH`.

    Args:
      family: a name in `FAMILIES`.
      rng: consumed.
    """

    def __init__(self, family: str, rng: np.random.Generator):
        self._distance, radius = FAMILIES[family](rng)
        turn, triangular = np.linalg.qr(rng.normal(size=(3, 3)))
        self._turn = turn * np.sign(np.diag(triangular))
        room = max(0.0, REACH - radius)
        self._centre = rng.uniform(-room, room, 3)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        return self._distance((points - self._centre) @ self._turn)

    def inside(self, points: np.ndarray) -> np.ndarray:
        return self.signed_distance(points) < 0

    def surface(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return points moved to the surface along the distance's gradient; denser where the surface bulges outward."""
        found = np.zeros((0, 3))
        while len(found) < count:
            points = rng.uniform(-1, 1, (2 * count + 16, 3))
            for _ in range(3):
                points = points - self.signed_distance(points)[:, None] * self._gradient(points)
            found = np.concatenate([found, points[np.abs(self.signed_distance(points)) < 1e-4]])
        return found[:count]

    def _gradient(self, points: np.ndarray, step: float = 1e-5) -> np.ndarray:
        shifts = step * np.eye(3)
        slopes = [self.signed_distance(points + shift) - self.signed_distance(points - shift) for shift in shifts]
        return np.stack(slopes, axis=1) / (2 * step)


@checked
def solids(
    *,
    num_train: int = 80,
    num_validation: int = 10,
    num_test: int = 10,
    num_points: int = 2048,
    near_fraction: float = 0.5,
    near_distance: float = 0.05,
    quantity: Quantity = 'occupancy',
    truncation: float = 1.0,
    seed: int = 0,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of procedural solids. Solid i of a split is of family i modulo 5, which is also its label.

    Args:
      num_train: number of training solids.
      num_validation: number of validation solids.
      num_test: number of test solids.
      num_points: N, points of a datapoint. Four times as many are drawn once, and each epoch takes N of them.
      near_fraction: fraction of points near the surface, in [0, 1]; the others are uniform in [-1, 1]^3.
      near_distance: standard deviation of their displacement from the surface.
      quantity: ``'occupancy'`` (1 inside, 0 outside) or ``'signed_distance'`` (negative inside).
      truncation: bound at which the signed distance is clipped.
      seed: seed of the solids and their points.
      data_dir: not used, since nothing is stored; every dataset takes it.

    Returns:
      A dataset of scattered points, C = 1, with values in [0, 1] or [-truncation, truncation].

    Raises:
      InputError: a wrong argument.
    """
    del data_dir
    counts = check_counts('solids', num_train, num_validation, num_test, seed=seed)
    rule = check_rule('solids', PointRule(num_points, near_fraction, near_distance, quantity, truncation))
    families = list(FAMILIES)
    splits = {}
    for position, (split, count) in enumerate(counts.items()):
        kinds = [families[index % len(families)] for index in range(count)]

        def shape(index: int, kinds: list[str] = kinds, position: int = position) -> Solid:
            return Solid(kinds[index], np.random.default_rng([seed, position, index, 0]))

        names = [f'{split} {kind} {index}' for index, kind in enumerate(kinds)]
        labels = np.arange(count) % len(families)
        splits[split] = ShapeSource(shape, names, labels, rule, stream=(seed, position))
    spec = shape_spec('solids', rule, num_datapoints=len(splits['train']), num_labels=len(families))
    return Dataset(spec, splits)
