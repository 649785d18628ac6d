"""Distances between solids, and between surfaces."""

import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.types import Array

__all__ = ['chamfer_distance', 'intersection_over_union']


@checked
def intersection_over_union(first: Array, second: Array, weight: Array | None = None) -> Array:
    """Divide the weight of the points in both sets by the weight of the points in either; 1 if both sets are empty.

    Args:
      first: ``[..., N]`` bool.
      second: ``[..., N]`` bool.
      weight: ``[..., N]`` >= 0, e.g. one over the density of the points; ``None``: 1.

    Returns:
      ``[...]`` in [0, 1].

    Example:
      >>> float(intersection_over_union(jnp.array([True, True, False, False]), jnp.array([False, True, False, False])))
      0.5
    """
    scale = jnp.float32(1) if weight is None else weight
    both = jnp.sum(scale * (first & second), axis=-1)
    either = jnp.sum(scale * (first | second), axis=-1)
    return jnp.where(either > 0, both / jnp.where(either > 0, either, 1), 1.0)


@checked
def chamfer_distance(points: np.ndarray, others: np.ndarray) -> float:
    """Return the mean distance from each point to the nearest of the other set, averaged over both directions.

    Fan, Su and Guibas, "A point set generation network for 3D object reconstruction from a single image" (2017),
    section 4.3, with distances instead of their squares.

    Args:
      points: ``[n, D]`` on one surface.
      others: ``[m, D]`` on the other.

    Raises:
      InputError: no points, other shapes, or a coordinate that is not finite.
    """
    sets = np.asarray(points, np.float64), np.asarray(others, np.float64)
    if any(each.ndim != 2 or each.size == 0 or not np.isfinite(each).all() for each in sets) or (
        sets[0].shape[1] != sets[1].shape[1]
    ):
        raise InputError(f'the sets must be finite points [n, D] and [m, D], not {sets[0].shape} and {sets[1].shape}.')
    from scipy import spatial  # A dependency of jax.

    there, _ = spatial.KDTree(sets[1]).query(sets[0])
    back, _ = spatial.KDTree(sets[0]).query(sets[1])
    return float((np.mean(there) + np.mean(back)) / 2)
