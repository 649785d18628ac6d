"""Compute the mean of a loss over a batch and its gradient, one small group of datapoints after the other.

Differentiating a mapped loss keeps the residuals of every datapoint until the backward pass reads them. Here each group
runs forward and backward before the next group begins. Its activations stay in the cache, and only one group needs
memory. `benchmarks/meta_training.py` compares this with ``vmap``.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hyperinr.types import Array

__all__ = ['automatic_group_size', 'mean_over_batch']


def automatic_group_size(batch_size: int) -> int:
    """Return 1 on a CPU, where the cache limits the speed, and ``batch_size`` on an accelerator."""
    return 1 if jax.default_backend() == 'cpu' else batch_size


def mean_over_batch(
    loss: Callable[[Any, Any, Any], tuple[Array, Any]], shared: Any, private: Any, data: Any, *, group_size: int
) -> tuple[Array, Any]:
    """Return the mean over the batch of ``loss(shared, private_b, data_b) -> (loss [], aux)``.

    Args:
      loss: the loss of one datapoint. It is pure and closes over nothing that is differentiated (see
        `jax.closure_convert`).
      shared: a pytree of arrays that all datapoints use.
      private: a pytree with leaves ``[B, ...]``.
      data: a pytree with leaves ``[B, ...]``; it is not differentiated.
      group_size: number of datapoints that are vmapped together; it divides B.

    Returns:
      The mean loss ``[]`` and the aux of every datapoint, leaves ``[B, ...]``. The loss can be differentiated once, in
      reverse mode, with respect to ``shared`` and ``private``. The aux carries no gradient.
    """
    mean, aux = _mean(loss, group_size, shared, private, data)
    return mean, jax.lax.stop_gradient(aux)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _mean(loss, group_size, shared, private, data):
    losses, aux = jax.lax.map(lambda one: loss(shared, *one), (private, data), batch_size=group_size)
    return jnp.mean(losses), aux


def _mean_forward(loss, group_size, shared, private, data):
    batch = jax.tree.leaves(data)[0].shape[0]
    grouped = jax.tree.map(lambda leaf: leaf.reshape(batch // group_size, group_size, *leaf.shape[1:]), (private, data))

    def group_loss(shared, private, data):
        if group_size == 1:  # A batch axis of one would cost XLA:CPU its fast matrix products.
            value, aux = loss(shared, *jax.tree.map(lambda leaf: leaf[0], (private, data)))
            return value / batch, jax.tree.map(lambda leaf: leaf[None], aux)
        losses, aux = jax.vmap(lambda p, d: loss(shared, p, d))(private, data)
        return jnp.sum(losses) / batch, aux

    def step(carry, one):
        total, shared_gradient = carry
        value_and_gradients = jax.value_and_grad(group_loss, argnums=(0, 1), has_aux=True)
        (value, aux), (for_shared, for_private) = value_and_gradients(shared, *one)
        return (total + value, jax.tree.map(jnp.add, shared_gradient, for_shared)), (aux, for_private)

    zeros = jax.tree.map(jnp.zeros_like, shared)
    (mean, shared_gradient), (aux, private_gradient) = jax.lax.scan(step, (jnp.zeros(()), zeros), grouped)
    ungroup = lambda tree: jax.tree.map(lambda leaf: leaf.reshape(batch, *leaf.shape[2:]), tree)
    return (mean, ungroup(aux)), (shared_gradient, ungroup(private_gradient))


def _mean_backward(loss, group_size, gradients, cotangents):
    del loss, group_size
    scale, _ = cotangents
    shared, private = jax.tree.map(lambda leaf: leaf * scale, gradients)
    return shared, private, None


_mean.defvjp(_mean_forward, _mean_backward)
