"""Meta-gradients: the derivative of the loss after the adaptation, as the outer optimiser uses it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.types import Array, Code, Start

__all__ = ['MetaGradient', 'reptile', 'unrolled']

Adapt = Callable[[Start], list[Code]]
"""``start -> codes`` after 0, 1, ... steps."""
Measure = Callable[[list[Code]], tuple[Array, Any]]
"""``codes -> (loss [], figures)``."""


class MetaGradient(NamedTuple):
    """A way to differentiate the outer loss of one datapoint.

    Attributes:
      loss: ``(start, adapt, measure) -> (loss [], figures)``. The meta-gradient is its derivative with respect to the
        parameters that ``start`` was computed from and the parameters that ``measure`` uses.
      through_steps: whether the derivative goes through the adaptation steps. If not, each step costs one gradient.
    """

    loss: Callable[[Start, Adapt, Measure], tuple[Array, Any]]
    through_steps: bool = True


def unrolled() -> MetaGradient:
    """Return the derivative of the loss through the adaptation steps.

    Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks" (2017). An option of
    the learner sets the number of steps with second derivatives.
    """
    return MetaGradient(lambda start, adapt, measure: measure(adapt(start)))


def reptile() -> MetaGradient:
    """Return ``start - adapted`` as the gradient of the start, which moves it toward the adapted code.

    Nichol, Achiam and Schulman, "On first-order meta-learning algorithms" (Reptile, 2018), the batched version. The
    chain rule passes this difference on to the parameters that produced the start. Rates get no gradient and keep their
    values. Parameters that ``decode`` shares get the derivative of the loss at the adapted code.
    """

    def loss(start: Start, adapt: Adapt, measure: Measure) -> tuple[Array, Any]:
        codes = jax.lax.stop_gradient(adapt(jax.lax.stop_gradient(start)))
        value, figures = measure(codes)
        return value + _toward(start.code, codes[-1]), figures

    return MetaGradient(loss, through_steps=False)


def _toward(start: Code, adapted: Code) -> jax.Array:
    """Return a term ``[]`` of value 0 whose gradient with respect to ``start`` is ``start - adapted``."""
    dot = lambda first, last: jnp.sum(jax.lax.stop_gradient(first - last) * first)
    pull = sum(jax.tree.leaves(jax.tree.map(dot, start, adapted)), start=jnp.zeros(()))
    return pull - jax.lax.stop_gradient(pull)
