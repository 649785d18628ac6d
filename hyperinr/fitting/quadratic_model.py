"""A quadratic model of the loss along a few directions, for optimisers that measure their step lengths.

For a small step the predicted values change linearly, and the loss is quadratic in the predicted values. The model's
second derivative along the directions is the Gauss-Newton matrix, which has no negative eigenvalue. Letters: ``k``
directions, ``M`` of the ``N`` points, ``C`` channels, ``P`` weights.
"""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.fitting.loss import Points
from hyperinr.types import Array

__all__ = ['QuadraticModel', 'quadratic_model']

LEAST_POINTS = 64
"""Fewer points estimate the curvature too poorly."""


class QuadraticModel(Protocol):
    """``loss(weights + sum_i a_i direction_i) ~ loss + slopes . a + a . curvatures . a / 2``."""

    def __call__(self, directions: Array, *, part: Array | int = 0, parts: int = 1) -> tuple[Array, Array]:
        """Return the first and second derivatives of the loss along the directions.

        Args:
          directions: ``[k, P]``, in the form of an optimiser's updates.
          part: index, modulo ``parts``, of the part that the curvatures are computed on.
          parts: number of parts of a fixed random partition of the points. It is reduced so that each part has at least
            64 points. The slopes are always computed on all points.

        Returns:
          Slopes ``[k]`` and curvatures ``[k, k]``.
        """
        ...


def quadratic_model(
    evaluate: Callable[[Array, Array], Array], points: Points, flat: Array, gradient: Array, step_scale: Array
) -> QuadraticModel:
    """Return the model around some weights. Nothing is computed before the model is called.

    Args:
      evaluate: ``(flat [P], coords [M, D]) -> values [M, C]``.
      points: points of the loss.
      flat: ``[P]``, the weights.
      gradient: ``[P]``, gradient of the loss at ``flat``.
      step_scale: ``[P]`` or ``[1]``, factor by which an update will be multiplied.
    """

    def model(directions: Array, *, part: Array | int = 0, parts: int = 1) -> tuple[Array, Array]:
        moves = step_scale[None] * directions
        coords, scale = _part(points, part, parts)
        _, change = jax.linearize(lambda moved: evaluate(moved, coords), flat)
        root = jnp.sqrt(2 * scale)[:, None]
        changes = jnp.stack([jnp.ravel(root * change(move)) for move in moves])
        return moves @ gradient, changes @ changes.T

    return model


def _part(points: Points, part: Array | int, parts: int) -> tuple[Array, Array]:
    """Return coordinates ``[M, D]`` and scales ``[M]`` of a part, scaled up to represent all points."""
    num_points = points.scale.size
    parts = max(1, min(parts, num_points // LEAST_POINTS))
    if parts == 1:
        return points.coords, points.scale
    rows = np.random.default_rng(0).permutation(num_points)[: num_points // parts * parts].reshape(parts, -1)
    chosen = jnp.asarray(rows)[part % parts]
    scale = points.scale[chosen]
    share = jnp.sum(scale) / jnp.maximum(jnp.sum(points.scale), jnp.finfo(jnp.float32).tiny)
    return points.coords[chosen], scale / jnp.maximum(share, jnp.finfo(jnp.float32).tiny)
