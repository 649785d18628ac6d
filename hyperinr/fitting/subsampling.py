"""Sub-sample the points of a step, with a full pass over all points at intervals.

Every full pass of `uniform` and `by_error` computes a table of probabilities. The steps until the next full pass draw
from this table. A draw is systematic: it takes one random number in each of ``n`` equal parts of the cumulative
distribution. The points are then spread more evenly than independent draws, and a draw costs one search in the table.
`stratified` needs neither table nor full passes, for datapoints whose activations do not fit in memory. Letters: ``N``
points of a datapoint, ``n`` drawn points.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.fitting.loss import Points, normalised
from hyperinr.types import Array, Key

__all__ = ['Subsampling', 'by_error', 'stratified', 'uniform']


class Subsampling(NamedTuple):
    """A rule that draws the points of each step.

    Attributes:
      num_points: n.
      full_pass_every: steps from one full pass to the next, >= 2. Only full passes check targets and report errors.
      table: ``(errors [N], points) -> [T]``, what a full pass leaves for the draws after it.
      draw: ``(key, table, points) ->`` n points; consumes the key.
      measured: ``points ->`` the points of a full pass.
    """

    num_points: int
    full_pass_every: int
    table: Callable[[Array, Points], Array]
    draw: Callable[[Key, Array, Points], Points]
    measured: Callable[[Points], Points] = lambda points: points


def _by_probability(
    num_points: int,
    full_pass_every: int,
    probabilities: Callable[[Array, Points], Array],
    importance: Callable[[Array], Array],
) -> Subsampling:
    """Return a rule that draws systematically.

    Args:
      num_points, full_pass_every: as for `Subsampling`.
      probabilities: ``(errors [N], points) -> [N]``, unnormalised, >= 0.
      importance: ``(scale [n]) -> [n]``, weights of the drawn points in the loss of a step, before normalisation.
    """

    def table(errors: Array, points: Points) -> Array:
        """Return the cumulative distribution ``[N]``, which increases to 1."""
        cumulative = jnp.cumsum(probabilities(errors, points))
        return cumulative / jnp.maximum(cumulative[-1], jnp.finfo(jnp.float32).tiny)

    def draw(key: Key, table: Array, points: Points) -> Points:
        quantiles = (jnp.arange(num_points) + jax.random.uniform(key, (num_points,))) / num_points
        chosen = jnp.minimum(jnp.searchsorted(table, quantiles, side='right'), table.size - 1)
        scale = normalised(importance(points.scale[chosen]), points.values.shape[0])
        return Points(points.coords[chosen], points.values[:, chosen], scale)

    return Subsampling(num_points, full_pass_every, table, draw)


def _check(num_points: int, full_pass_every: int) -> None:
    if num_points < 1 or full_pass_every < 2:
        raise ValueError(f'num_points must be >= 1 and full_pass_every >= 2, not {num_points} and {full_pass_every}.')


@checked
def uniform(*, num_points: int, full_pass_every: int = 50) -> Subsampling:
    """Draw all points of positive weight with the same probability.

    Args:
      num_points: number of points of a step.
      full_pass_every: steps from one full pass to the next.

    Raises:
      ValueError: ``num_points`` is below 1 or ``full_pass_every`` below 2.
    """
    _check(num_points, full_pass_every)
    return _by_probability(
        num_points, full_pass_every, lambda errors, points: (points.scale > 0).astype(errors.dtype), lambda scale: scale
    )


@checked
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

    return _by_probability(num_points, full_pass_every, probabilities, jnp.ones_like)


@checked
def stratified(*, num_points: int, num_measured: int, full_pass_every: int = 20) -> Subsampling:
    """Draw one point at random from each of ``n`` equal parts of the datapoint, and measure the same few points always.

    No step sees more than ``max(num_points, num_measured)`` points. Errors, targets and ``keep_best`` refer to the
    measured points, a draw that is the same in all fits.

    Args:
      num_points: number of points of a step; at most all are drawn.
      num_measured: number of points in place of all in a full pass; all if the datapoint has no more.
      full_pass_every: steps from one of these passes to the next.

    Raises:
      ValueError: a number of points is below 1 or ``full_pass_every`` below 2.
    """
    _check(min(num_points, num_measured), full_pass_every)

    def chosen(key: Key, points: Points, count: int) -> Points:
        parts = np.arange(count)
        length, longer = divmod(points.scale.size, count)  # The first `longer` parts have one point more.
        begins = parts * length + np.minimum(parts, longer)
        rows = begins + jax.random.randint(key, (count,), 0, length + (parts < longer))
        return Points(points.coords[rows], points.values[:, rows], normalised(points.scale[rows], len(points.values)))

    def measured(points: Points) -> Points:
        return points if points.scale.size <= num_measured else chosen(jax.random.key(0), points, num_measured)

    return Subsampling(
        num_points,
        full_pass_every,
        lambda errors, points: jnp.zeros(0, errors.dtype),
        lambda key, table, points: chosen(key, points, min(num_points, points.scale.size)),
        measured,
    )
