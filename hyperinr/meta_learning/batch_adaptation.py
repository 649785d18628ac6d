"""Apply a trained learner to a batch: encode it, adapt it, and turn the learned rates into a metric for optimisers.

Nothing here is differentiated with respect to the learner's parameters. All local devices share the batch.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.runtime.sharding import Placed, map_on_devices, shard
from hyperinr.types import Array, Code, Datapoint, InrWeights, MetaLearner, Params, Start

__all__ = ['AdaptedBatch', 'adapt_batch', 'generate_batch', 'learned_metric']

ENCODED_TOGETHER = 16
"""Datapoints that a CPU encodes together: the encoder's parameters are read once for all of them."""

_place = Placed()


class AdaptedBatch(NamedTuple):
    """An adapted batch; all arrays are on the host.

    Attributes:
      weights: after the last step, leaves ``[B, ...]``.
      mse: ``[B, num_steps + 1]``, mean squared errors after 0, 1, ... steps.
      snapshots: weights at the recorded steps, leaves ``[B, S, ...]``.
      metric: see `learned_metric`; ``None`` if it was not requested or does not exist.
    """

    weights: InrWeights
    mse: Array
    snapshots: InrWeights
    metric: InrWeights | None


def adapt_batch(
    learner: MetaLearner,
    params: Params,
    datapoints: Datapoint,
    *,
    num_steps: int,
    record_steps: Sequence[int] = (),
    metric_power: float | None = None,
) -> AdaptedBatch:
    """Encode a batch and take the learner's adaptation steps.

    Args:
      learner: trained.
      params: parameters of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      num_steps: >= 0; steps beyond the K of training use the last learned rates.
      record_steps: S step counts in [0, num_steps] whose weights are returned.
      metric_power: ``power`` of `learned_metric`; ``None``: do not compute the metric.
    """
    options = learner.hypernetwork.decode, learner.follow, num_steps, tuple(record_steps), metric_power
    return _on_devices(learner, _adapted, options, params, datapoints)


def generate_batch(learner: MetaLearner, params: Params, datapoints: Datapoint, *, num_steps: int) -> InrWeights:
    """Return the last weights of `adapt_batch`, leaves ``[B, ...]`` on the host; compute nothing else."""
    # One array is fetched faster than one array for each tensor.
    flat = _on_devices(learner, _generated, (learner.follow, num_steps), params, datapoints)
    return weights_lib.unflatten(flat, weights_lib.spec_of_inr(learner.inr, datapoints.coords.shape[-1]))


def learned_metric(
    learner: MetaLearner, params: Params, datapoints: Datapoint, *, power: float = 0.5
) -> InrWeights | None:
    """Return a factor for each weight's updates, ``(rate / geometric mean of the rates)^power``, leaves ``[B, ...]``.

    A learned rate is small if a small change of its weight changes the INR much. Adam's first steps have the same size
    for all weights, because its second moments do not yet know the sensitive ones. Multiplied by this metric, they
    change the sensitive weights of a generated start little. A weight with rate 0 has a factor of 1.

    Args:
      learner: trained.
      params: parameters of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      power: exponent of the relative rates; 1/2 was the best of 1/2, 3/4 and 1 (docs/decisions.md).

    Returns:
      The factors; ``None`` if the learner's codes are not the weights themselves, e.g. if they are latents.
    """
    return adapt_batch(learner, params, datapoints, num_steps=0, metric_power=power).metric


Decode = Callable[[Params, Code], InrWeights]
Follow = Callable[[Params, Start, Datapoint, int], tuple[InrWeights, Array]]


def _adapted(
    decode: Decode,
    follow: Follow,
    num_steps: int,
    record: tuple[int, ...],
    power: float | None,
    params: Params,
    start: Start,
    datapoint: Datapoint,
) -> AdaptedBatch:
    """Return the `AdaptedBatch` of one datapoint, without the axis ``B``."""
    weights, mse = follow(params, start, datapoint, num_steps)
    snapshots = jax.tree.map(lambda leaf: leaf[jnp.array(record, int)], weights)
    metric = None if power is None else _metric(start, decode(params, start.code), power)
    return AdaptedBatch(_last(weights), mse, snapshots, metric)


def _generated(follow: Follow, num_steps: int, params: Params, start: Start, datapoint: Datapoint) -> Array:
    """Return the last weights of one datapoint, ``[P]``."""
    weights = _last(follow(params, start, datapoint, num_steps)[0])
    return weights_lib.flatten(weights, weights_lib.spec_of(weights))


def _on_devices(
    learner: MetaLearner, after: Callable[..., Any], options: tuple, params: Params, datapoints: Datapoint
) -> Any:
    """Return ``after(*options, params, start, datapoint)`` of each datapoint, leaves ``[B, ...]`` on the host."""
    size = len(datapoints.index)
    devices = tuple(jax.local_devices()[:size])
    rows = _even_rows(size, len(devices))
    shards = shard(jax.tree.map(lambda leaf: np.asarray(leaf)[rows], datapoints), devices)
    program = _compiled(learner.hypernetwork.encode, after, options, devices)
    found = program(_place(params, devices), shards)
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(len(rows), *leaf.shape[2:])[:size], found)


@functools.lru_cache(maxsize=64)
def _compiled(
    encode: Callable[[Params, Datapoint], Start],
    after: Callable[..., Any],
    options: tuple,
    devices: tuple[jax.Device, ...],
) -> Callable[[Params, Datapoint], Any]:
    def on_device(params: Params, datapoints: Datapoint) -> Any:
        one = functools.partial(after, *options, params)
        return _map_encoded(lambda datapoint: encode(params, datapoint), one, datapoints)

    return map_on_devices(on_device, devices)


def _last(path: InrWeights) -> InrWeights:
    return jax.tree.map(lambda leaf: leaf[-1], path)


def _map_encoded(
    encode: Callable[[Datapoint], Start], after: Callable[[Start, Datapoint], Any], datapoints: Datapoint
) -> Any:
    """Map ``after(encode(datapoint), datapoint)`` over a batch.

    An accelerator runs all datapoints at once. A CPU encodes a few datapoints at once and adapts them one by one,
    because INRs share no weights (`hyperinr.fitting.map_datapoints`).
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
    """Return all rows, followed by the first rows again until ``parts`` divides their number."""
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
