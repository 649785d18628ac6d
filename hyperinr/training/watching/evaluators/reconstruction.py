"""Reconstruct held-out datapoints after each of the learner's adaptation steps, on all devices, and draw them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import metrics
from hyperinr.datasets.base import select
from hyperinr.fitting import map_datapoints
from hyperinr.meta_learning.observation import observed
from hyperinr.panels import panel
from hyperinr.runtime.sharding import broadcast, map_on_devices, shard
from hyperinr.training.watching.evaluators.base import Subject
from hyperinr.types import Array, Datapoint, DatasetSpec, Params

__all__ = ['Reconstructed', 'panels_of', 'reconstructor']


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


def panels_of(found: Reconstructed, spec: DatasetSpec, number: int) -> list[list[np.ndarray]]:
    """Draw the original and each reconstruction of the first datapoints: ``number`` rows of panels ``[H, W, 3]``."""
    assert spec.grid_shape is not None
    rows = zip(np.asarray(found.batch.values)[:number], found.values[:number], strict=True)
    as_grid = lambda values: values.reshape(*spec.grid_shape, spec.channels)
    return [[panel(as_grid(each), spec) for each in (original, *values)] for original, values in rows]
