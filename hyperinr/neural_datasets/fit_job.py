"""Fit rows of a neural dataset with the fitting engine: seeds and signals in, fitted weights out."""

import jax
import numpy as np

from hyperinr import fitting, metrics
from hyperinr import weights as weights_lib
from hyperinr.evaluation.solids import volumetric_iou
from hyperinr.fitting import Batching, Status
from hyperinr.kinds.solids import level_of
from hyperinr.neural_datasets.description import START_KINDS, STATUSES
from hyperinr.neural_datasets.plan import Job, Plan
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['chunk_batching', 'fit_rows', 'rows_per_call']

_CODES = {Status[name.upper()]: code for code, name in enumerate(STATUSES)}


def rows_per_call(job: Job) -> int:
    """Return the number of INRs that `fit_rows` takes at once to keep this machine busy."""
    return job.plan.num_parallel * (len(jax.local_devices()) if jax.default_backend() == 'cpu' else 1)


def fit_rows(job: Job, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the INRs with these indices.

    Each INR is fitted on its own: its bits depend neither on the other INRs nor on their number. Where a fit gets
    worse, the weights of least error are returned with their own columns; only ``status`` is that of the whole fit.

    Args:
      job: signals, INR, start and optimiser.
      indices: ``[B]`` in the index space of ``job.description``.

    Returns:
      ``weights`` ``[B, P]`` float32, and the columns ``[B]`` of `shards.COLUMNS`.
    """
    plan, count = job.plan, len(indices)
    seeds, signals = job.description.seeds_and_signals(indices)
    all_points, parts = job.signals.batch(signals), []
    # All calls have one shape. For another batch size the compiler may round the generated weights differently.
    for first in range(0, count, plan.num_parallel):
        rows = np.minimum(np.arange(first, first + plan.num_parallel), count - 1)
        points = jax.tree.map(lambda leaf, rows=rows: leaf[rows], all_points)
        parts.append((job.starts(seeds[rows], points), job.step_scale(points), points))
    on_cpu = jax.default_backend() == 'cpu'
    kept = slice(count if on_cpu else None)
    starts, step_scale, datapoints = jax.tree.map(lambda *leaves: np.concatenate(leaves)[kept], *parts)
    iou_points = job.signals.probes(datapoints.index)
    result = fitting.fit(
        job.inr,
        starts,
        datapoints,
        optimizer=job.optimizer,
        num_steps=plan.num_steps,
        target_psnr=plan.target_psnr_db,
        data_range=job.signals.spec.data_range,
        goal=job.goal,
        probes=None if job.goal is None else iou_points,
        step_scale=step_scale,
        subsampling=plan.subsampling,
        keep_best=True,
        batching=chunk_batching(plan, job.inr, starts, datapoints),
    )
    result, iou_points = jax.tree.map(lambda leaf: leaf[:count], (result, iou_points))
    weights = np.asarray(weights_lib.flatten(result.weights, job.description.weights))
    codes = np.vectorize(_CODES.get)(result.status)
    status = np.where(np.isfinite(weights).all(axis=1), codes, _CODES[Status.DIVERGED])
    iou = np.full(count, np.nan, np.float32)
    if iou_points is not None:
        iou[:] = volumetric_iou(job.inr, result.weights, iou_points, level_of(job.signals.spec))
    mse = np.asarray(result.mse)[np.arange(count), result.best_step].astype(np.float32)
    return {
        'weights': weights,
        'index': indices,
        'source_index': signals,
        'label': job.signals.labels(signals),
        'seed': seeds,
        'start': np.full(count, START_KINDS.index(plan.start.kind)),
        'steps': np.asarray(result.best_step),
        'mse': mse,
        'psnr_db': np.asarray(metrics.psnr_from_mse(mse, job.signals.spec.data_range)),
        'iou': iou,
        'status': status,
    }


def chunk_batching(plan: Plan, inr: Inr, starts: InrWeights, datapoints: Datapoint) -> Batching:
    """Choose how a chunk is run. Only shapes are read, so abstract arrays suffice.

    On a CPU each device fits one INR after the other, in calls of one shape. The result is bit-identical for any number
    of devices. On other devices the fastest way is chosen.

    Args:
      plan: its number of steps, targets, and number of INRs in one call on each device.
      inr, starts, datapoints: the chunk.
    """
    if jax.default_backend() == 'cpu':
        devices = len(jax.local_devices())
        reason = f'{devices} CPU device(s), one INR after the other on each: the same bits on any number of them'
        return Batching('mapped', plan.num_parallel, devices, reason=reason)
    rules = fitting.FitRules(plan.num_steps)
    has_target = plan.target_psnr_db is not None or plan.target_iou is not None
    return fitting.automatic_batching(inr, starts, datapoints, rules=rules, has_target=has_target)
