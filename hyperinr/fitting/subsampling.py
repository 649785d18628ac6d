"""Steps that see some of the points, with a full pass now and then.

Every full pass makes a table of probabilities; the steps until the next one draw from it. A draw is systematic: one
random number for each of ``n`` equal parts of the cumulative distribution, which spreads the points more evenly than
independent draws and costs one search in the table. Letters: ``N`` points of a datapoint, ``n`` drawn ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.fitting.loss import Points, normalised
from hyperinr.types import Array, Key

__all__ = ['Subsampling', 'by_error', 'uniform']


class Subsampling(NamedTuple):
    """How the points of a step are drawn.

    Attributes:
      num_points: n.
      full_pass_every: steps from one full pass to the next, >= 2. Targets are checked, and errors reported, there.
      probabilities: ``(errors [N], points) -> [N]``, unnormalised, >= 0.
      importance: ``(scale [n]) -> [n]``, what the drawn points weigh in the loss of a step, before normalisation.
    """

    num_points: int
    full_pass_every: int
    probabilities: Callable[[Array, Points], Array]
    importance: Callable[[Array], Array]

    def table(self, errors: Array, points: Points) -> Array:
        """``[N]``, increasing to 1: the cumulative distribution."""
        cumulative = jnp.cumsum(self.probabilities(errors, points))
        return cumulative / jnp.maximum(cumulative[-1], jnp.finfo(jnp.float32).tiny)

    def draw(self, key: Key, table: Array, points: Points) -> Points:
        """``n`` points; consumes the key."""
        places = (jnp.arange(self.num_points) + jax.random.uniform(key, (self.num_points,))) / self.num_points
        chosen = jnp.minimum(jnp.searchsorted(table, places, side='right'), table.size - 1)
        scale = normalised(self.importance(points.scale[chosen]), points.values.shape[0])
        return Points(points.coords[chosen], points.values[:, chosen], scale)


def _check(num_points: int, full_pass_every: int) -> None:
    if num_points < 1 or full_pass_every < 2:
        raise ValueError(f'num_points must be >= 1 and full_pass_every >= 2, not {num_points} and {full_pass_every}.')


def uniform(*, num_points: int, full_pass_every: int = 50) -> Subsampling:
    """All points of positive weight with the same probability.

    Args:
      num_points: of a step.
      full_pass_every: steps.

    Raises:
      ValueError: ``num_points`` below 1 or ``full_pass_every`` below 2.
    """
    _check(num_points, full_pass_every)
    return Subsampling(
        num_points, full_pass_every, lambda errors, points: (points.scale > 0).astype(errors.dtype), lambda scale: scale
    )


def by_error(*, num_points: int, full_pass_every: int = 20, uniform_fraction: float = 0.5) -> Subsampling:
    """Points in proportion to their error at the last full pass, mixed with uniform ones.

    After Zhang et al., "EVOS: Efficient implicit neural training via evolutionary selector" (2024): the errors of rare
    full passes select the points of the steps between, and random others keep the selection from going stale. Here the
    selection is drawn anew in every step instead of kept, and it is not weighted back, as there: a step follows the
    error where it is large, not the mean squared error.

    Args:
      num_points: of a step.
      full_pass_every: steps.
      uniform_fraction: of the probability that all points share alike, in (0, 1].

    Raises:
      ValueError: a number outside its range.
    """
    _check(num_points, full_pass_every)
    if not 0 < uniform_fraction <= 1:
        raise ValueError(f'uniform_fraction must be in (0, 1], not {uniform_fraction}.')

    def probabilities(errors: Array, points: Points) -> Array:
        hard = errors * points.scale
        hard = hard / jnp.maximum(jnp.sum(hard), jnp.finfo(jnp.float32).tiny)
        return (1 - uniform_fraction) * hard + uniform_fraction * points.scale / jnp.sum(points.scale)

    return Subsampling(num_points, full_pass_every, probabilities, jnp.ones_like)
