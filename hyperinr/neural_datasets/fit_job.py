"""The one place where neural datasets meet the fitting engine: seeds and signals in, fitted weights out."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.fitting import Batching, Goal, Status, Subsampling
from hyperinr.neural_datasets.description import STATUSES
from hyperinr.neural_datasets.plan import Job, chunk_rows
from hyperinr.neural_datasets.solids import level_of, volumetric_iou
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['FittedChunk', 'chunk_batching', 'fit_chunk', 'fit_rows', 'rows_per_call']

_CODES = {
    Status.OK: STATUSES.index('ok'),
    Status.DIVERGED: STATUSES.index('diverged'),
    Status.MISSED_TARGET: STATUSES.index('missed_target'),
}


class FittedChunk(NamedTuple):
    """What became of B INRs.

    Attributes:
      weights: ``[B, P]`` float32.
      steps: ``[B]`` steps of the optimiser that the weights are the result of.
      mse: ``[B]`` mean squared error of these weights.
      iou: ``[B]`` float32, intersection over union with the solid; NaN where the signals are none.
      status: ``[B]`` positions in `description.STATUSES`.
    """

    weights: np.ndarray
    steps: np.ndarray
    mse: np.ndarray
    iou: np.ndarray
    status: np.ndarray


def rows_per_call(job: Job) -> int:
    """How many INRs `fit_rows` takes at once to keep this machine busy."""
    return job.plan.num_parallel * (len(jax.local_devices()) if jax.default_backend() == 'cpu' else 1)


def fit_rows(job: Job, seeds: np.ndarray, signals: np.ndarray) -> FittedChunk:
    """Fits the INRs of these pairs, each on its own: the bits of one depend on no other, nor on how many there are.

    Args:
      job: what to fit, and how.
      seeds: ``[B]``.
      signals: ``[B]`` source indices.
    """
    plan, datapoints = job.plan, job.signals.batch(signals)
    # In calls of one shape: what a model generates is computed in the company that the compiler was told of.
    parts = []
    for rows in chunk_rows(0, len(signals), plan.num_parallel):
        chunk = jax.tree.map(lambda leaf, rows=rows: leaf[rows], datapoints)
        parts.append((job.starts(seeds[rows], chunk), job.step_scale(chunk)))
    starts, step_scale = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(signals)], *parts)
    probes = job.signals.probes(signals)
    fitted = fit_chunk(
        job.inr,
        starts,
        datapoints,
        optimizer=job.optimizer,
        num_steps=plan.num_steps,
        target_psnr_db=plan.target_psnr_db,
        data_range=job.signals.spec.data_range,
        goal=job.goal,
        probes=probes if job.goal is not None else None,
        step_scale=step_scale,
        subsampling=plan.subsampling,
        num_parallel=plan.num_parallel,
    )
    if probes is None:
        return fitted
    trees = weights_lib.unflatten(fitted.weights, job.description.weights)
    take = lambda tree, row: jax.tree.map(lambda leaf: leaf[row], tree)
    level = level_of(job.signals.spec)
    ious = [volumetric_iou(job.inr, take(trees, row), take(probes, row), level) for row in range(len(signals))]
    return fitted._replace(iou=np.asarray(ious, np.float32))


def fit_chunk(
    inr: Inr,
    starts: InrWeights,
    datapoints: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    target_psnr_db: float | None,
    data_range: tuple[float, float],
    goal: Goal | None = None,
    probes: Datapoint | None = None,
    step_scale: InrWeights | None = None,
    subsampling: Subsampling | None = None,
    num_parallel: int | None = None,
) -> FittedChunk:
    """Fits B INRs, each on its own: the result of one depends on no other.

    Args:
      inr: evaluates the weights.
      starts: leaves ``[B, ...]``.
      datapoints: leaves ``[B, ...]``.
      optimizer: the same object for every chunk, so that it is compiled once.
      num_steps: gradient steps; at most so many where there is a target.
      target_psnr_db: an INR stops at the first step where it has this PSNR; ``None``: all take ``num_steps``.
      data_range: ``(low, high)`` of the values, for the PSNR.
      goal: a target of another kind, looked at now and then.
      probes: what it looks at, leaves ``[B, ...]``.
      step_scale: factor of the updates of each weight, leaves ``[B, ...]``; ``None``: 1.
      subsampling: of the points of each step, drawn by the datapoint's index; ``None``: every step sees all.
      num_parallel: INRs of one compiled call on each device; ``None``: B.
    """
    size = num_parallel or len(datapoints.index)
    has_target = target_psnr_db is not None or goal is not None
    count = len(datapoints.index)
    rows = np.arange(count)
    if jax.default_backend() != 'cpu':
        rows = np.minimum(np.arange(-(-count // size) * size), count - 1)
    chosen: tuple[Any, ...] = jax.tree.map(lambda leaf: leaf[rows], (starts, datapoints, probes, step_scale))
    starts, datapoints, probes, step_scale = chosen
    result = fitting.fit(
        inr,
        starts,
        datapoints,
        optimizer=optimizer,
        num_steps=num_steps,
        target_psnr=target_psnr_db,
        data_range=data_range,
        goal=goal,
        probes=probes,
        step_scale=step_scale,
        subsampling=subsampling,
        batching=chunk_batching(inr, starts, datapoints, num_steps=num_steps, has_target=has_target, size=size),
    )
    result = jax.tree.map(lambda leaf: leaf[:count], result)
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], result.weights))
    flat = np.asarray(weights_lib.flatten(result.weights, spec))
    status = np.where(np.isfinite(flat).all(axis=1), np.vectorize(_CODES.get)(result.status), _CODES[Status.DIVERGED])
    no_iou = np.full(count, np.nan, np.float32)
    return FittedChunk(flat, np.asarray(result.num_steps), np.asarray(result.mse)[:, -1], no_iou, status)


def chunk_batching(
    inr: Inr, starts: InrWeights, datapoints: Datapoint, *, num_steps: int, has_target: bool, size: int
) -> Batching:
    """How a chunk is run; only shapes are read, so abstract arrays will do.

    On a CPU one INR after the other on each device, in calls of one shape, whatever the number of devices: each comes
    out the same, to the bit. Elsewhere whatever is fastest there.

    Args:
      inr, starts, datapoints: of the chunk.
      num_steps: of the fit.
      has_target: whether INRs may stop early.
      size: INRs of one call on each device.
    """
    if jax.default_backend() == 'cpu':
        devices = len(jax.local_devices())
        reason = f'{devices} CPU device(s), one INR after the other on each: the same bits on any number of them'
        return Batching('mapped', size, devices, reason=reason)
    rules = fitting.FitRules(num_steps)
    return fitting.automatic_batching(inr, starts, datapoints, rules=rules, has_target=has_target)
