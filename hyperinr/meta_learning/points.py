"""Choose the observed points that each adaptation step sees.

Letters: ``N`` observed points, ``M`` points that a step sees, ``K`` steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.types import Array, Datapoint, Key

__all__ = ['PointChoice', 'all_points', 'every_kth', 'largest_error_points', 'take_counted', 'uniform_points']


class PointChoice(NamedTuple):
    """A rule that chooses the points of each adaptation step.

    Attributes:
      select: ``(points [N], step [], drawn, errors) -> points [M]``, the points of step 0, 1, ... ``drawn`` is the
        step's row of the result of ``draw``. ``errors()`` computes the squared errors ``[N]`` of the code before the
        step. The choice is a constant in the outer derivative.
      cost: ``(N) -> (M, number of INR evaluations that the choice needs)``, for counting operations.
      draw: ``(key, N, K) -> pytree`` with leaves ``[K, ...]``, drawn once for each update and shared by the batch.
        Consumes the key.
      when_generating: whether generation and evaluation choose points as well. If not, they see all points.
    """

    select: Callable[[Datapoint, Array | int, Any, Callable[[], Array]], Datapoint]
    cost: Callable[[int], tuple[int, int]]
    draw: Callable[[Key, int, int], Any] = lambda key, num_points, num_steps: ()
    when_generating: bool = False


def all_points() -> PointChoice:
    """Take all points in every step."""
    return PointChoice(lambda points, step, drawn, errors: points, lambda total: (total, 0), when_generating=True)


@checked
def uniform_points(*, num_points: int) -> PointChoice:
    """Draw points uniformly in every step among those that count. Generation sees all points.

    The batch shares the draw: datapoints with the same weights see the same points.

    Args:
      num_points: M >= 1; if M >= N, all points are taken. If fewer than M count, each of them is seen once.

    Raises:
      ValueError: ``num_points`` is below 1.
    """
    check_positive('uniform_points', num_points=num_points)

    def draw(key: Key, total: int, num_steps: int) -> Any:
        if num_points >= total:
            return ()
        return jax.vmap(lambda key: jax.random.permutation(key, total))(jax.random.split(key, num_steps))

    def select(points: Datapoint, step: Array | int, drawn: Any, errors: Callable[[], Array]) -> Datapoint:
        return points if isinstance(drawn, tuple) else take_counted(points, drawn, num_points)

    return PointChoice(select, lambda total: (min(num_points, total), 0), draw)


@checked
def largest_error_points(*, num_points: int) -> PointChoice:
    """Take the points with the largest errors of the current code in every step. Generation sees all points.

    Tack, Kim, Yu, Lee, Shin and Schwarz, "Learning large-scale neural fields via context pruned meta-learning"
    (GradNCP, 2023), rank a point by the norm of the last layer's gradient of the point's own error. That norm is
    ``|error| sqrt(1 + |h|^2)`` with the last features ``h``. For a SIREN, ``|h|^2`` is nearly the same at all points
    (half the width). So here the weighted error alone ranks the points, which works for any family of INRs. The
    bootstrapped target of that paper is not implemented.

    Args:
      num_points: M >= 1; if M >= N, all points are taken.

    Raises:
      ValueError: ``num_points`` is below 1.
    """
    check_positive('largest_error_points', num_points=num_points)

    def select(points: Datapoint, step: Array | int, drawn: Any, errors: Callable[[], Array]) -> Datapoint:
        if num_points >= points.coords.shape[0]:
            return points
        weight = jnp.asarray(points.weight)
        scores = jax.lax.stop_gradient(jnp.where(weight > 0, weight * errors(), -1))
        return take_points(points, jax.lax.top_k(scores, num_points)[1])

    return PointChoice(select, lambda total: (num_points, total) if num_points < total else (total, 0))


@checked
def every_kth(*, stride: int) -> PointChoice:
    """Take every ``stride``-th point, shifted by one point from step to step, in training and in generation.

    Neighbouring points carry nearly the same information. So a step on evenly spread points is close to a step on all
    points. ``stride`` consecutive steps see disjoint sets, and together all points, as in an incremental gradient
    method (Bertsekas, "Incremental gradient, subgradient, and proximal methods for convex optimization" (2011),
    section 1). They cost as much as one step on all points. If ``stride`` divides the width of a grid, a step sees some
    of its columns.

    Args:
      stride: in [1, N]. Step ``k`` sees the ``N // stride`` points ``k % stride, k % stride + stride, ...``. The last
        ``N % stride`` points are never seen.

    Raises:
      ValueError: ``stride`` is below 1, or, at the first step, above N.
    """
    check_positive('every_kth', stride=stride)

    def select(points: Datapoint, step: Array | int, drawn: Any, errors: Callable[[], Array]) -> Datapoint:
        if stride == 1:
            return points
        each = points.coords.shape[0] // stride
        if not each:
            raise ValueError(f'stride must be at most the number of points, {points.coords.shape[0]}, not {stride}.')
        divided = lambda leaf: jnp.reshape(leaf[: each * stride], (each, stride, *leaf.shape[1:]))
        take = lambda leaf: divided(jnp.asarray(leaf))[:, step % stride]
        return points._replace(coords=take(points.coords), values=take(points.values), weight=take(points.weight))

    return PointChoice(select, lambda total: (total // stride, 0), when_generating=True)


def take_counted(points: Datapoint, order: Array, number: int) -> Datapoint:
    """Take the first ``number`` points that count, in the order ``[N]``; if there are fewer, points of weight 0 follow.

    Args:
      points: one datapoint, N points.
      order: a permutation of the rows.
      number: M <= N.
    """
    passed = jnp.cumsum(jnp.asarray(points.weight)[order] > 0)
    wanted = jnp.arange(1, number + 1)
    taken = take_points(points, order[jnp.minimum(jnp.searchsorted(passed, wanted), len(order) - 1)])
    return taken._replace(weight=jnp.where(wanted <= passed[-1], taken.weight, 0))


def take_points(points: Datapoint, rows: Array) -> Datapoint:
    """Take the points ``rows [M]``."""
    take = lambda leaf: jnp.take(jnp.asarray(leaf), rows, axis=0)
    return points._replace(coords=take(points.coords), values=take(points.values), weight=take(points.weight))
