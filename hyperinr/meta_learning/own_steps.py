"""A trained learner's own way with a batch: encode, its own steps, and what their rates tell later ones.

Nothing is differentiated by the learner's parameters here, and all devices share the batch.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.sharding import Placed, map_on_devices, shard
from hyperinr.types import Array, Code, Datapoint, InrWeights, MetaLearner, Params, Start

__all__ = ['OwnSteps', 'generate_batch', 'learned_metric', 'take_own_steps']

ENCODED_TOGETHER = 16
"""Datapoints in a product of the encoder on a CPU: its parameters are read once for all of them."""

_place = Placed()


class OwnSteps(NamedTuple):
    """Where a batch went, on the host.

    Attributes:
      weights: after the last step, leaves ``[B, ...]``.
      mse: ``[B, num_steps + 1]``, mean squared errors after 0, 1, ... steps.
      snapshots: weights at the recorded steps, leaves ``[B, S, ...]``.
      metric: see `learned_metric`; ``None`` where it was not asked for, or is none.
    """

    weights: InrWeights
    mse: Array
    snapshots: InrWeights
    metric: InrWeights | None


def take_own_steps(
    learner: MetaLearner,
    params: Params,
    datapoints: Datapoint,
    *,
    num_steps: int,
    record_steps: Sequence[int] = (),
    metric_power: float | None = None,
) -> OwnSteps:
    """Encodes a batch and takes the learner's own steps.

    Args:
      learner: trained.
      params: of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      num_steps: >= 0; beyond the K steps of training the last learned rates go on.
      record_steps: S step counts in [0, num_steps] whose weights are wanted.
      metric_power: of `learned_metric`; ``None``: it is not wanted.
    """
    encode, decode = learner.hypernetwork.encode, learner.hypernetwork.decode
    make = functools.partial(_all_of_it, encode, decode, learner.follow, num_steps, tuple(record_steps), metric_power)
    found: OwnSteps = _on_devices(make, params, datapoints)
    return found


def generate_batch(learner: MetaLearner, params: Params, datapoints: Datapoint, *, num_steps: int) -> InrWeights:
    """As `take_own_steps`, but the last weights alone, leaves ``[B, ...]`` on the host; nothing else is measured."""
    make = functools.partial(_last_weights, learner.hypernetwork.encode, learner.follow, num_steps)
    # One array comes back sooner than one of each tensor.
    flat = _on_devices(make, params, datapoints)
    return weights_lib.unflatten(flat, weights_lib.spec_of_inr(learner.inr, datapoints.coords.shape[-1]))


def learned_metric(
    learner: MetaLearner, params: Params, datapoints: Datapoint, *, power: float = 0.5
) -> InrWeights | None:
    """How far each weight may go in a step, ``(rate / geometric mean of the rates)^power``, leaves ``[B, ...]``.

    A learned rate is small where a small change of the weight changes much. Adam's steps are alike in all weights and
    know nothing of that until their second moments do; multiplied by this metric they leave a generated start alone
    where it is delicate. Weights without a rate (0, or a code that is no weights: a latent) have a factor of 1.

    Args:
      learner: trained.
      params: of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      power: of the relative rates; 1/2 was the best of 1/2, 3/4 and 1 (docs/decisions.md).

    Returns:
      The factors, or ``None`` where the learner's codes are not the weights themselves.
    """
    return take_own_steps(learner, params, datapoints, num_steps=0, metric_power=power).metric


def _on_devices(
    make: Callable[[tuple[jax.Device, ...]], Callable[[Params, Datapoint], Any]], params: Params, datapoints: Datapoint
) -> Any:
    """What the program that ``make`` returns for some devices finds, ``[B, ...]`` on the host."""
    size = len(datapoints.index)
    devices = tuple(jax.local_devices()[:size])
    rows = _even_rows(size, len(devices))
    shards = shard(jax.tree.map(lambda leaf: np.asarray(leaf)[rows], datapoints), devices)
    found = make(devices)(_place(params, devices), shards)
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(len(rows), *leaf.shape[2:])[:size], found)


Encode = Callable[[Params, Datapoint], Start]
Follow = Callable[[Params, Start, Datapoint, int], tuple[InrWeights, Array]]


@functools.lru_cache(maxsize=64)
def _all_of_it(
    encode: Encode,
    decode: Callable[[Params, Code], InrWeights],
    follow: Follow,
    num_steps: int,
    record: tuple[int, ...],
    power: float | None,
    devices: tuple[jax.Device, ...],
) -> Callable[[Params, Datapoint], OwnSteps]:
    def on_device(params: Params, datapoints: Datapoint) -> OwnSteps:
        def after(start: Start, datapoint: Datapoint) -> OwnSteps:
            weights, mse = follow(params, start, datapoint, num_steps)
            snapshots = jax.tree.map(lambda leaf: leaf[jnp.array(record, int)], weights)
            metric = None if power is None else _metric(start, decode(params, start.code), power)
            return OwnSteps(_last(weights), mse, snapshots, metric)

        return _map_encoded(lambda datapoint: encode(params, datapoint), after, datapoints)

    return map_on_devices(on_device, devices)


@functools.lru_cache(maxsize=64)
def _last_weights(
    encode: Encode, follow: Follow, num_steps: int, devices: tuple[jax.Device, ...]
) -> Callable[[Params, Datapoint], Array]:
    def on_device(params: Params, datapoints: Datapoint) -> Array:
        def after(start: Start, datapoint: Datapoint) -> Array:
            weights = _last(follow(params, start, datapoint, num_steps)[0])
            return weights_lib.flatten(weights, weights_lib.spec_of(weights))

        found: Array = _map_encoded(lambda datapoint: encode(params, datapoint), after, datapoints)
        return found

    return map_on_devices(on_device, devices)


def _last(path: InrWeights) -> InrWeights:
    return jax.tree.map(lambda leaf: leaf[-1], path)


def _map_encoded(
    encode: Callable[[Datapoint], Start], after: Callable[[Start, Datapoint], Any], datapoints: Datapoint
) -> Any:
    """``after(encode(datapoint), datapoint)`` of each.

    On an accelerator all at once. On a CPU a few are encoded at once, and followed one by one: their INRs share no
    weights (`hyperinr.fitting.map_datapoints`).
    """
    if jax.default_backend() != 'cpu':
        return jax.vmap(lambda datapoint: after(encode(datapoint), datapoint))(datapoints)
    size = len(datapoints.index)
    groups = -(-size // ENCODED_TOGETHER)
    rows = _even_rows(size, groups)
    grouped = jax.tree.map(lambda leaf: leaf[rows].reshape(groups, -1, *leaf.shape[1:]), datapoints)

    def group(members: Datapoint) -> Any:
        return jax.lax.map(lambda each: after(*each), (jax.vmap(encode)(members), members))

    found = jax.lax.map(group, grouped)
    return jax.tree.map(lambda leaf: leaf.reshape(len(rows), *leaf.shape[2:])[:size], found)


def _even_rows(size: int, parts: int) -> np.ndarray:
    """All rows, and the first ones again until ``parts`` of one size come out."""
    return np.arange(-(-size // parts) * parts) % size


def _metric(start: Start, weights: InrWeights, power: float) -> InrWeights | None:
    if jax.tree.map(jnp.shape, start.code) != jax.tree.map(jnp.shape, weights):
        return None
    spec = weights_lib.spec_of(start.code)
    last = jax.tree.map(lambda leaf, rate: jnp.broadcast_to(rate[-1], leaf.shape), start.code, start.rates)
    rates = weights_lib.flatten(last, spec)
    learned = rates > 0
    logarithms = jnp.log(jnp.where(learned, rates, 1))
    mean = jnp.sum(logarithms) / jnp.maximum(jnp.sum(learned), 1)
    return weights_lib.unflatten(jnp.where(learned, jnp.exp(power * (logarithms - mean)), 1), spec)
