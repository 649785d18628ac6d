"""Meta-gradients: what the outer optimiser takes for the derivative of the loss after the adaptation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.types import Array, Code, Start

__all__ = ['MetaGradient', 'reptile', 'unrolled']

Adapt = Callable[[Start], list[Code]]
"""``start -> `` the codes after 0, 1, ... steps."""
Measure = Callable[[list[Code]], tuple[Array, Any]]
"""``codes -> (loss [], figures)`` of these codes."""


class MetaGradient(NamedTuple):
    """How the outer loss of one datapoint is differentiated.

    Attributes:
      loss: ``(start, adapt, measure) -> (loss [], figures)``. Its derivative by whatever made ``start``, and by what
        ``measure`` uses of the hypernetwork, is the meta-gradient.
      through_steps: whether the derivative goes through the adaptation steps; if not, they cost a gradient each.
    """

    loss: Callable[[Start, Adapt, Measure], tuple[Array, Any]]
    through_steps: bool = True


def unrolled() -> MetaGradient:
    """Return the derivative of the loss through the adaptation steps.

    Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks" (2017). How many steps
    have second derivatives is an option of the learner.
    """
    return MetaGradient(lambda start, adapt, measure: measure(adapt(start)))


def reptile() -> MetaGradient:
    """Return ``start - adapted``, which draws a hypernetwork to where its codes went.

    Nichol, Achiam and Schulman, "On first-order meta-learning algorithms" (Reptile, 2018), its batched version. What
    produced the start gets this difference by the chain rule. Rates get no gradient and stay as they are; what
    ``decode`` shares gets the derivative of the loss at the adapted code.
    """

    def loss(start: Start, adapt: Adapt, measure: Measure) -> tuple[Array, Any]:
        codes = jax.lax.stop_gradient(adapt(jax.lax.stop_gradient(start)))
        value, figures = measure(codes)
        return value + _toward(start.code, codes[-1]), figures

    return MetaGradient(loss, through_steps=False)


def _toward(start: Code, adapted: Code) -> jax.Array:
    """``[]``, a term of value 0 whose gradient with respect to ``start`` is ``start - adapted``."""
    dot = lambda first, last: jnp.sum(jax.lax.stop_gradient(first - last) * first)
    pull = sum(jax.tree.leaves(jax.tree.map(dot, start, adapted)), start=jnp.zeros(()))
    return pull - jax.lax.stop_gradient(pull)
