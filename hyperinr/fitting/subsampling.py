"""Sub-sample the points of a step, with a full pass over all points at intervals.

Every full pass computes a table of probabilities. The steps until the next full pass draw from this table. A draw is
systematic: it takes one random number in each of ``n`` equal parts of the cumulative distribution. The points are then
spread more evenly than independent draws, and a draw costs one search in the table. Letters: ``N`` points of a
datapoint, ``n`` drawn points.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.fitting.loss import Points, normalised
from hyperinr.types import Array, Key

__all__ = ['Subsampling', 'by_error', 'uniform']


class Subsampling(NamedTuple):
    """A rule that draws the points of each step.

    Attributes:
      num_points: n.
      full_pass_every: steps from one full pass to the next, >= 2. Only full passes check targets and report errors.
      probabilities: ``(errors [N], points) -> [N]``, unnormalised, >= 0.
      importance: ``(scale [n]) -> [n]``, weights of the drawn points in the loss of a step, before normalisation.
    """

    num_points: int
    full_pass_every: int
    probabilities: Callable[[Array, Points], Array]
    importance: Callable[[Array], Array]

    def table(self, errors: Array, points: Points) -> Array:
        """Return the cumulative distribution ``[N]``, which increases to 1."""
        cumulative = jnp.cumsum(self.probabilities(errors, points))
        return cumulative / jnp.maximum(cumulative[-1], jnp.finfo(jnp.float32).tiny)

    def draw(self, key: Key, table: Array, points: Points) -> Points:
        """Draw ``n`` points from the table; consumes the key."""
        quantiles = (jnp.arange(self.num_points) + jax.random.uniform(key, (self.num_points,))) / self.num_points
        chosen = jnp.minimum(jnp.searchsorted(table, quantiles, side='right'), table.size - 1)
        scale = normalised(self.importance(points.scale[chosen]), points.values.shape[0])
        return Points(points.coords[chosen], points.values[:, chosen], scale)


def _check(num_points: int, full_pass_every: int) -> None:
    if num_points < 1 or full_pass_every < 2:
        raise ValueError(f'num_points must be >= 1 and full_pass_every >= 2, not {num_points} and {full_pass_every}.')


def uniform(*, num_points: int, full_pass_every: int = 50) -> Subsampling:
    """Draw all points of positive weight with the same probability.

    Args:
      num_points: number of points of a step.
      full_pass_every: steps from one full pass to the next.

    Raises:
      ValueError: ``num_points`` is below 1 or ``full_pass_every`` below 2.
    """
    _check(num_points, full_pass_every)
    return Subsampling(
        num_points, full_pass_every, lambda errors, points: (points.scale > 0).astype(errors.dtype), lambda scale: scale
    )


def by_error(*, num_points: int, full_pass_every: int = 20, uniform_fraction: float = 0.5) -> Subsampling:
    """Draw points in proportion to their error at the last full pass, mixed with uniform draws.

    After Zhang et al., "EVOS: Efficient implicit neural training via evolutionary selector" (2024). The errors of rare
    full passes select the points of the steps between them. Uniform draws add points whose error has grown since. EVOS
    keeps a selection for several steps; here it is drawn anew in every step. As in EVOS, the loss is not corrected for
    the probabilities: a step follows the large errors, not the mean squared error.

    Args:
      num_points: number of points of a step.
      full_pass_every: steps from one full pass to the next.
      uniform_fraction: part of the probability that is uniform over the points, in (0, 1].

    Raises:
      ValueError: a number is outside its range.
    """
    _check(num_points, full_pass_every)
    if not 0 < uniform_fraction <= 1:
        raise ValueError(f'uniform_fraction must be in (0, 1], not {uniform_fraction}.')

    def probabilities(errors: Array, points: Points) -> Array:
        hard = errors * points.scale
        hard = hard / jnp.maximum(jnp.sum(hard), jnp.finfo(jnp.float32).tiny)
        return (1 - uniform_fraction) * hard + uniform_fraction * points.scale / jnp.sum(points.scale)

    return Subsampling(num_points, full_pass_every, probabilities, jnp.ones_like)
