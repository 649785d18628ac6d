"""The meta-gradient that is no derivative: from where a code started to where it went."""

import jax
import jax.numpy as jnp

from hyperinr.types import Code

__all__ = ['toward']


def toward(start: Code, adapted: Code) -> jax.Array:
    """``[]``, a term of value 0 whose gradient with respect to ``start`` is ``start - adapted``.

    Nichol, Achiam and Schulman, "On first-order meta-learning algorithms" (Reptile, 2018), its batched version: the
    outer optimiser takes ``start - adapted``, averaged over the batch, for the gradient. What produced ``start`` gets
    it by the chain rule, so that a hypernetwork is drawn to where its weights went.

    Args:
      start: code, differentiated.
      adapted: code of the same structure, taken as constant.
    """
    dot = lambda first, last: jnp.sum(jax.lax.stop_gradient(first - last) * first)
    pull = sum(jax.tree.leaves(jax.tree.map(dot, start, adapted)), start=jnp.zeros(()))
    return pull - jax.lax.stop_gradient(pull)
