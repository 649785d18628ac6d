"""Reconstruct held-out datapoints after each of the learner's adaptation steps, on all devices, and draw them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import metrics
from hyperinr.datasets.base import select
from hyperinr.files.images import to_rgb
from hyperinr.fitting import map_datapoints
from hyperinr.meta_learning.observation import observed
from hyperinr.runtime.sharding import broadcast, map_on_devices, shard
from hyperinr.training.watching.evaluators.base import Subject
from hyperinr.types import Array, Datapoint, DatasetSpec, Params

__all__ = ['Reconstructed', 'has_pictures', 'pictures', 'reconstructor', 'mosaic']


class Reconstructed(NamedTuple):
    """Datapoints and their reconstructions.

    Attributes:
      batch: the datapoints, leaves ``[M, ...]``.
      psnr_db: ``[M, num_steps + 1]``, after 0, 1, ... adaptation steps.
      values: ``[M, len(keep_steps), N, C]``, reconstructed values after each of ``keep_steps``.
    """

    batch: Datapoint
    psnr_db: np.ndarray
    values: np.ndarray


def reconstructor(
    subject: Subject, *, split: str, num_datapoints: int, num_steps: int, keep_steps: Sequence[int]
) -> Callable[[Params], Reconstructed]:
    """Prepare ``(params) -> Reconstructed`` for a fixed set of datapoints; it is compiled at its first call.

    If the learner observes only part of a datapoint in training, it sees a fixed part here. The PSNR is measured on all
    points.

    Args:
      subject: the run; its devices share the work.
      split: split of the dataset.
      num_datapoints: maximum number of datapoints, spread evenly over the split.
      num_steps: number of adaptation steps; may exceed K.
      keep_steps: steps after which the values are returned, each at most ``num_steps``.

    Raises:
      InputError: see `select`.
    """
    learner, spec, devices = subject.learner, subject.dataset.spec, subject.devices
    batch, positions = select(subject.dataset, split, num_datapoints)
    count = len(positions)
    # The first rows are repeated so that every device gets the same number.
    rows = np.resize(np.arange(count), -(-count // len(devices)) * len(devices))
    sharded = shard(jax.tree.map(lambda leaf: leaf[rows], batch), devices)

    def reconstruct_one(params: Params, datapoint: Datapoint) -> tuple[Array, Array]:
        weights = learner.adapt(params, observed(learner, datapoint), num_steps)
        values = jax.vmap(learner.inr.apply, (0, None))(weights, datapoint.coords)
        quality = lambda each: metrics.psnr(each, datapoint.values, datapoint.weight, data_range=spec.data_range)
        return jax.vmap(quality)(values), values[jnp.asarray(keep_steps)]

    mapped = map_on_devices(
        lambda params, batch: map_datapoints(lambda datapoint: reconstruct_one(params, datapoint), batch), devices
    )

    def reconstruct(params: Params) -> Reconstructed:
        psnr, values = (
            np.asarray(leaf).reshape(-1, *leaf.shape[2:])[:count]
            for leaf in mapped(broadcast(params, devices), sharded)
        )
        return Reconstructed(batch, psnr, values)

    return reconstruct


def has_pictures(spec: DatasetSpec) -> bool:
    """Tell whether the data are images."""
    return spec.grid_shape is not None and len(spec.grid_shape) == 2 and spec.channels in (1, 3)


def pictures(found: Reconstructed, spec: DatasetSpec, number: int) -> np.ndarray:
    """Return the original and each reconstruction, ``[number, 1 + len(keep_steps), H, W, 3]`` in [0, 1]."""
    assert spec.grid_shape is not None
    panels = np.concatenate([np.asarray(found.batch.values)[:number, None], found.values[:number]], axis=1)
    return to_rgb(panels.reshape(*panels.shape[:2], *spec.grid_shape, spec.channels), spec.data_range)


def mosaic(panels: np.ndarray, *, enlarge: int = 1, gap: int = 0) -> np.ndarray:
    """Lay out panels ``[rows, columns, H, W, 3]`` in [0, 1] as one picture ``[height, width, 3]``.

    Args:
      panels: RGB.
      enlarge: side in pixels of the square that shows one pixel of a panel.
      gap: white pixels between two panels.
    """
    large = panels.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    framed = np.pad(large, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1)
    rows, columns, height, width, channels = framed.shape
    whole = framed.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    return whole[: rows * height - gap, : columns * width - gap]
