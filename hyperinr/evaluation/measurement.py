"""Measurement of one way of fitting: PSNR, the figures of the kind and seconds against steps, and reconstructions.

Letters: ``B`` datapoints, ``S`` recorded steps, ``*grid`` the axes of their common grid, ``C`` channels.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import jax
import numpy as np

from hyperinr import coordinates, metrics
from hyperinr.evaluation.figures import figures_of
from hyperinr.fitting import FitResult, map_datapoints
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights

__all__ = ['Measured', 'Run', 'interval', 'measure', 'median_seconds']


class Run(Protocol):
    """A way of fitting: datapoints ``[B, ...]`` -> fitted INRs, all work included."""

    def __call__(self, datapoints: Datapoint, /, *, num_steps: int, record_steps: Sequence[int] = ()) -> FitResult: ...


TIMING_REPEATS = 3
RESAMPLES = 2000


class Measured(NamedTuple):
    """The measurements of a `Run`.

    Attributes:
      psnr_db: ``[B, num_steps + 1]``.
      figures: key of `figures.figures_of` -> ``[B, S]``; NaN where it is not defined.
      seconds: ``[S]``, per datapoint.
      values: ``[num_kept, S, *grid, C]`` of the first datapoints, not clipped; ``None`` for scattered points.
    """

    psnr_db: np.ndarray
    figures: Mapping[str, np.ndarray]
    seconds: np.ndarray
    values: np.ndarray | None


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
    """Return values ``[S, N, C]`` of weights ``[S, ...]``, one after the other."""
    return jax.lax.map(lambda weights: apply(weights, coords), snapshots)


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
    probes: Datapoint | None = None,
    num_kept: int = 0,
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
      probes: datapoints of scattered points at which the figures are measured; ``None``: the points of the errors.
      num_kept: number of datapoints whose values are kept.

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
    grid, figures = spec.grid_shape, figures_of(spec)
    points = (probes if grid is None else None) or target or datapoints
    found = {name: np.full((len(psnr), len(record_steps)), np.nan) for name in figures}
    kept = []
    num_rows = len(psnr) if figures else min(num_kept, len(psnr)) * (grid is not None)
    for row in range(num_rows):
        snapshots, one = jax.tree.map(lambda leaf, row=row: leaf[row], (result.snapshots, points))
        shape = (len(one.coords),) if grid is None else grid
        coords = one.coords if grid is None else coordinates.grid(grid, spec.layout)
        values = np.asarray(_values(inr.apply, snapshots, coords)).reshape(len(record_steps), *shape, -1)
        original, weight = np.reshape(one.values, (*shape, -1)), np.reshape(one.weight, shape)
        for name, figure in figures.items():
            found[name][row] = figure.measure(values, original, weight, spec)
        if row < num_kept:
            kept.append(values)
    return Measured(psnr, found, seconds, np.stack(kept) if kept and grid is not None else None)
