"""Partial observations: what of a datapoint the encoder and the adaptation get to see."""

import jax
import jax.numpy as jnp

from hyperinr.types import Datapoint, Key, MetaLearner

__all__ = ['observe_fraction', 'observed']


def observe_fraction(key: Key, datapoint: Datapoint, fraction: float) -> Datapoint:
    """The datapoint with weight 0 on all but a random ``fraction`` of its points; at least one keeps its weight.

    Args:
      key: consumed.
      datapoint: N points; those of weight 0 are not counted and never observed.
      fraction: in (0, 1]; 1 is the datapoint itself.
    """
    if fraction == 1:
        return datapoint
    weight = jnp.asarray(datapoint.weight)
    there = weight > 0
    draws = jnp.where(there, jax.random.uniform(key, weight.shape), 2)
    wanted = jnp.maximum(jnp.round(fraction * jnp.sum(there)), 1)
    ranks = jnp.argsort(jnp.argsort(draws))
    return datapoint._replace(weight=jnp.where(there & (ranks < wanted), weight, 0))


def observed(learner: MetaLearner, datapoint: Datapoint) -> Datapoint:
    """Return what the learner is shown of a datapoint outside training, a function of its ``index`` alone."""
    return learner.observe(jax.random.fold_in(jax.random.key(0), datapoint.index), datapoint)
