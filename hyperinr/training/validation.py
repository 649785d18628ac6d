"""PSNR on held-out datapoints during training, along the learner's own adaptation steps."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import metrics
from hyperinr.datasets.base import Source, held_out
from hyperinr.errors import InputError
from hyperinr.fitting import map_datapoints
from hyperinr.training.devices import broadcast, map_on_devices, shard
from hyperinr.types import Array, Datapoint, DatasetSpec, MetaLearner, Params

__all__ = ['Validated', 'validator']

MAX_PICTURES = 8


class Validated(NamedTuple):
    """Held-out quality.

    Attributes:
      psnr_db: ``[K + 1]``, mean over datapoints after 0, 1, ... K adaptation steps.
      pictures: ``[M, 3, H, W, C]`` in [0, 1]: original, after 0, after K steps; ``None`` if the data are no images.
    """

    psnr_db: np.ndarray
    pictures: np.ndarray | None


def validator(
    learner: MetaLearner,
    source: Source,
    spec: DatasetSpec,
    *,
    num_datapoints: int,
    devices: Sequence[jax.Device],
) -> Callable[[Params], Validated]:
    """Prepares the measurement: always the same datapoints, spread evenly over the source.

    Where training shows only part of a datapoint, the same part of it is shown here each time, and all of it judged.

    Args:
      learner: adapts them.
      source: held out.
      spec: of its datapoints.
      num_datapoints: at most; the source may have fewer.
      devices: to share the work.

    Returns:
      ``(params) -> Validated``, compiled at its first call.

    Raises:
      InputError: an empty source or no datapoints asked for.
    """
    if num_datapoints < 1 or len(source) < 1:
        raise InputError(
            f'validation needs a datapoint: num_validation is {num_datapoints}, the split holds {len(source)}.'
        )
    positions = np.linspace(0, len(source) - 1, min(num_datapoints, len(source))).round().astype(np.int64)
    count = len(positions)
    padded = np.resize(positions, -(-count // len(devices)) * len(devices))
    batch = held_out(source.batch(padded))
    sharded = shard(batch, devices)

    def datapoint_quality(params: Params, datapoint: Datapoint) -> tuple[Array, Array]:
        context = learner.observe(jax.random.fold_in(jax.random.key(0), datapoint.index), datapoint)
        weights = learner.adapt(params, context, learner.num_steps)
        values = jax.vmap(learner.inr.apply, (0, None))(weights, datapoint.coords)
        quality = lambda each: metrics.psnr(each, datapoint.values, datapoint.weight, data_range=spec.data_range)
        return jax.vmap(quality)(values), values[jnp.array([0, -1])]

    mapped = map_on_devices(
        lambda params, batch: map_datapoints(lambda datapoint: datapoint_quality(params, datapoint), batch), devices
    )

    def validate(params: Params) -> Validated:
        results = mapped(broadcast(params, devices), sharded)
        psnr, values = (np.asarray(leaf).reshape(len(padded), *leaf.shape[2:]) for leaf in results)
        return Validated(psnr[:count].mean(axis=0), _pictures(batch, values, spec, min(count, MAX_PICTURES)))

    return validate


def _pictures(batch: Datapoint, values: np.ndarray, spec: DatasetSpec, number: int) -> np.ndarray | None:
    if spec.grid_shape is None or len(spec.grid_shape) != 2 or spec.channels not in (1, 3):
        return None
    low, high = spec.data_range
    panels = np.concatenate([np.asarray(batch.values)[:number, None], values[:number]], axis=1)
    scaled = np.clip((panels - low) / (high - low), 0, 1)
    return scaled.reshape(number, panels.shape[1], *spec.grid_shape, spec.channels)
