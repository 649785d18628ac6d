"""Partial observations: the points of a datapoint that the encoder and the adaptation see."""

import jax
import jax.numpy as jnp

from hyperinr.types import Datapoint, Key, MetaLearner

__all__ = ['observe_fraction', 'observed']

STREAM = 2**20
"""Seed of these draws: that of no random start, which folds ``index`` into a key as well."""


def observe_fraction(key: Key, datapoint: Datapoint, fraction: float) -> Datapoint:
    """Set the weight of all points to 0 except for a random ``fraction`` of them; at least one keeps its weight.

    Args:
      key: consumed.
      datapoint: N points. Points of weight 0 are not counted and never observed.
      fraction: in (0, 1]; 1 returns the datapoint itself.
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
    """Return the part of a datapoint that the learner sees outside training; the draw depends on ``index`` alone."""
    return learner.observe(jax.random.fold_in(jax.random.key(STREAM), datapoint.index), datapoint)
