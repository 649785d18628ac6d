"""Measurement of one way of fitting: PSNR, SSIM and seconds against steps, and pictures.

Letters: ``B`` datapoints, ``S`` recorded steps, ``H`` and ``W`` pixels of their common grid, ``C`` channels.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import numpy as np

from hyperinr import coordinates, metrics
from hyperinr.fitting import FitResult, map_datapoints
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights

__all__ = ['Measured', 'Run', 'interval', 'masked_ssim', 'measure', 'median_seconds']


class Run(Protocol):
    """A way of fitting: datapoints ``[B, ...]`` -> fitted INRs, all work included."""

    def __call__(self, datapoints: Datapoint, /, *, num_steps: int, record_steps: Sequence[int] = ()) -> FitResult: ...


TIMING_REPEATS = 3
SSIM_WINDOW = 11
RESAMPLES = 2000


class Measured(NamedTuple):
    """The measurements of a `Run`.

    Attributes:
      psnr_db: ``[B, num_steps + 1]``.
      ssim: ``[B, S]``; NaN unless the data are images of at least 11 x 11 pixels.
      seconds: ``[S]``, per datapoint.
      images: ``[B, S, H, W, C]``, not clipped; ``None`` if the data are not on a two-dimensional grid.
    """

    psnr_db: np.ndarray
    ssim: np.ndarray
    seconds: np.ndarray
    images: np.ndarray | None


@jax.jit
def masked_ssim(images: Array, original: Array, weight: Array, *, data_range: tuple[float, float]) -> Array:
    """Compute the SSIM of reconstructions of one image over the windows in which all pixels have a positive weight.

    Args:
      images: ``[S, H, W, C]``, H and W at least 11 pixels.
      original: ``[H, W, C]``.
      weight: ``[H, W]``.
      data_range: ``(low, high)``.

    Returns:
      ``[S]``, NaN if there is no such window.
    """
    return jax.vmap(lambda image: metrics.ssim(image, original, weight, data_range=data_range))(images)


def median_seconds(run: Run, datapoints: Datapoint, num_steps: int) -> float:
    """Measure the seconds per datapoint of ``num_steps`` steps: the median of three runs, after one run to compile."""
    times = []
    for _ in range(1 + TIMING_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run(datapoints, num_steps=num_steps))
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) / len(datapoints.coords)


@functools.partial(jax.jit, static_argnums=0)
def _errors(apply: Callable[[InrWeights, Array], Array], snapshots: InrWeights, target: Datapoint) -> Array:
    """Return mean squared errors ``[B, S]`` of weights ``[B, S, ...]``."""

    def one(each: tuple[InrWeights, Datapoint]) -> Array:
        weights, judged = each
        values = jax.lax.map(lambda snapshot: apply(snapshot, judged.coords), weights)
        return metrics.mean_squared_error(values, judged.values[None], judged.weight[None])

    return map_datapoints(one, (snapshots, target))


@functools.partial(jax.jit, static_argnums=0)
def _values(apply: Callable[[InrWeights, Array], Array], snapshots: InrWeights, coords: Array) -> Array:
    """Return values ``[B, S, N, C]`` of weights ``[B, S, ...]``, one INR after the other."""
    return map_datapoints(lambda each: jax.lax.map(lambda weights: apply(weights, coords), each), snapshots)


def interval(psnr_db: np.ndarray, origins: Sequence[str]) -> np.ndarray | None:
    """Return the 95 % interval of the mean of ``[B, S]`` over datapoints, by a bootstrap over their origins.

    Args:
      psnr_db: measurements of B datapoints.
      origins: B names. Datapoints of one origin, such as crops of one photograph, are drawn together.

    Returns:
      ``[2, S]``, its ends; ``None`` if there is one origin, from which nothing can be said about others.
    """
    names, rows = np.unique(np.asarray(origins), return_inverse=True)
    if len(names) < 2:
        return None
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    weight = drawn[:, rows] / drawn[:, rows].sum(axis=1, keepdims=True)
    return np.quantile(weight @ psnr_db, (0.025, 0.975), axis=0)


def measure(
    run: Run,
    inr: Inr,
    spec: DatasetSpec,
    datapoints: Datapoint,
    *,
    record_steps: Sequence[int],
    timed_steps: Sequence[int],
    num_timing_datapoints: int,
    target: Datapoint | None = None,
) -> Measured:
    """Run to the last of ``record_steps`` and measure each of them.

    Args:
      run: the way of fitting.
      inr: evaluates the weights.
      spec: states the data range and the grid.
      datapoints: leaves ``[B, ...]``.
      record_steps: S increasing step counts.
      timed_steps: increasing step counts to time, within the range of ``record_steps``. Times between them are
        interpolated linearly.
      num_timing_datapoints: number of datapoints timed together, at most B.
      target: datapoints on which errors are measured; ``None``: ``datapoints``. If given, the errors at other steps
        than ``record_steps`` are NaN.

    Returns:
      A `Measured`.
    """
    result = run(datapoints, num_steps=record_steps[-1], record_steps=record_steps)
    mse = np.asarray(result.mse)
    if target is not None:
        judged = np.asarray(_errors(inr.apply, result.snapshots, target))
        mse = np.full_like(mse, np.nan)
        mse[:, list(record_steps)] = judged
    psnr = np.asarray(metrics.psnr_from_mse(mse, spec.data_range))
    timing_batch = jax.tree.map(lambda leaf: leaf[:num_timing_datapoints], datapoints)
    times = [median_seconds(run, timing_batch, num_steps) for num_steps in timed_steps]
    seconds = np.interp(record_steps, timed_steps, np.maximum.accumulate(times))
    ssim = np.full((len(psnr), len(record_steps)), np.nan)
    grid_shape = spec.grid_shape
    if grid_shape is None or len(grid_shape) != 2:
        return Measured(psnr, ssim, seconds, None)
    images = np.asarray(_values(inr.apply, result.snapshots, coordinates.grid(grid_shape, spec.layout)))
    images = images.reshape(*images.shape[:2], *grid_shape, -1)
    whole = datapoints if target is None else target
    for row, (values, weight) in enumerate(zip(whole.values, whole.weight, strict=True)):
        if min(grid_shape) < SSIM_WINDOW:
            break
        original = np.asarray(values).reshape(*grid_shape, -1)
        mask = np.reshape(weight, grid_shape)
        ssim[row] = masked_ssim(images[row], original, mask, data_range=spec.data_range)
    return Measured(psnr, ssim, seconds, images)
