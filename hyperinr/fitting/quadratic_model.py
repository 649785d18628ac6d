"""What a step along some directions would do to the loss: the quadratic model of an optimiser that measures lengths.

The predicted values change linearly for a small step, and the loss is quadratic in them: its second derivative along
the directions is the Gauss-Newton one, which is never negative. Letters: ``k`` directions, ``M`` of the ``N`` points,
``C`` channels, ``P`` weights.
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
"""Fewer say too little of a curvature."""


class QuadraticModel(Protocol):
    """``loss(weights + sum_i a_i direction_i) ~ loss + slopes . a + a . curvatures . a / 2``."""

    def __call__(self, directions: Array, *, part: Array | int = 0, parts: int = 1) -> tuple[Array, Array]:
        """The first and second derivatives of the loss.

        Args:
          directions: ``[k, P]``, as an optimiser returns its updates.
          part: which of the parts the curvatures are taken from, modulo ``parts``.
          parts: a fixed random partition of the points into so many; less than asked for where a part would have
            fewer than 64 points. The slopes are always those of all points.

        Returns:
          Slopes ``[k]`` and curvatures ``[k, k]``.
        """
        ...


def quadratic_model(
    evaluate: Callable[[Array, Array], Array], points: Points, flat: Array, gradient: Array, step_scale: Array
) -> QuadraticModel:
    """The model around some weights. Nothing is computed before it is asked.

    Args:
      evaluate: ``(flat [P], coords [M, D]) -> values [M, C]``.
      points: of the loss.
      flat: ``[P]``, where to.
      gradient: ``[P]`` of the loss there.
      step_scale: ``[P]`` or ``[1]``, by which an update will be multiplied.
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
    """Coordinates ``[M, D]`` and scales ``[M]`` that stand for all points."""
    num_points = points.scale.size
    parts = max(1, min(parts, num_points // LEAST_POINTS))
    if parts == 1:
        return points.coords, points.scale
    rows = np.random.default_rng(0).permutation(num_points)[: num_points // parts * parts].reshape(parts, -1)
    chosen = jnp.asarray(rows)[part % parts]
    scale = points.scale[chosen]
    share = jnp.sum(scale) / jnp.maximum(jnp.sum(points.scale), jnp.finfo(jnp.float32).tiny)
    return points.coords[chosen], scale / jnp.maximum(share, jnp.finfo(jnp.float32).tiny)
