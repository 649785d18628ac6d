"""Which of the observed points an adaptation step looks at."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hyperinr.types import Code, Datapoint, Inr, InrWeights

__all__ = ['largest_errors']


def largest_errors(
    inr: Inr, decode: Callable[[Code], InrWeights], num_points: int
) -> Callable[[Code, Datapoint], Datapoint]:
    """``(code, points) -> points``: the ``num_points`` that the code gets most wrong, anew in every step.

    Tack, Kim, Yu, Lee, Shin and Schwarz, "Learning large-scale neural fields via context pruned meta-learning"
    (GradNCP, 2023): points are ranked by the norm of the last layer's gradient of their own error. That norm is
    ``|error| sqrt(1 + |h|^2)`` with ``h`` the last features; for a SIREN ``|h|^2`` is nearly the same at all points
    (half the width), so here the weighted error alone ranks them, which takes any family of INRs. The choice is a
    constant in the outer derivative. The bootstrapped target of that paper is left out.

    Args:
      inr: evaluator.
      decode: code -> weights.
      num_points: M >= 1; with M >= N all points are taken.
    """

    def select(code: Code, points: Datapoint) -> Datapoint:
        if num_points >= points.coords.shape[0]:
            return points
        weight = jnp.asarray(points.weight)
        squares = jnp.sum((inr.apply(decode(code), jnp.asarray(points.coords)) - points.values) ** 2, axis=-1)
        scores = jax.lax.stop_gradient(jnp.where(weight > 0, weight * squares, -1))
        _, rows = jax.lax.top_k(scores, num_points)
        take = lambda leaf: jnp.take(jnp.asarray(leaf), rows, axis=0)
        return points._replace(coords=take(points.coords), values=take(points.values), weight=take(points.weight))

    return select
