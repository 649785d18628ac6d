"""The one place where neural datasets meet the fitting engine: a chunk of starts and signals in, fitted weights out."""

from typing import NamedTuple

import jax
import numpy as np
import optax

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.fitting import Batching, Status
from hyperinr.neural_datasets.description import STATUSES
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['FittedChunk', 'chunk_batching', 'fit_chunk']

_CODES = {
    Status.OK: STATUSES.index('ok'),
    Status.DIVERGED: STATUSES.index('diverged'),
    Status.MISSED_TARGET: STATUSES.index('missed_target'),
}


class FittedChunk(NamedTuple):
    """What became of B INRs.

    Attributes:
      weights: ``[B, P]`` float32.
      steps: ``[B]`` gradient steps that the weights are the result of.
      mse: ``[B]`` mean squared error of these weights.
      status: ``[B]`` positions in `description.STATUSES`.
    """

    weights: np.ndarray
    steps: np.ndarray
    mse: np.ndarray
    status: np.ndarray


def fit_chunk(
    inr: Inr,
    starts: InrWeights,
    datapoints: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    target_psnr_db: float | None,
    data_range: tuple[float, float],
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
    """
    result = fitting.fit(
        inr,
        starts,
        datapoints,
        optimizer=optimizer,
        num_steps=num_steps,
        target_psnr=target_psnr_db,
        data_range=data_range,
        batching=chunk_batching(inr, starts, datapoints, num_steps=num_steps, has_target=target_psnr_db is not None),
    )
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], result.weights))
    flat = np.asarray(weights_lib.flatten(result.weights, spec))
    status = np.where(np.isfinite(flat).all(axis=1), np.vectorize(_CODES.get)(result.status), _CODES[Status.DIVERGED])
    return FittedChunk(flat, np.asarray(result.num_steps), np.asarray(result.mse)[:, -1], status)


def chunk_batching(
    inr: Inr, starts: InrWeights, datapoints: Datapoint, *, num_steps: int, has_target: bool
) -> Batching:
    """How a chunk is run; only shapes are read, so abstract arrays will do.

    On a CPU one device and one shape: all workers compute the same bits, however many devices each has. Elsewhere
    whatever is fastest there.
    """
    if jax.default_backend() == 'cpu':
        reason = 'one CPU device and one shape for each worker, one INR after the other: the same bits on any number of'
        return Batching('mapped', len(datapoints.index), 1, reason=f'{reason} workers')
    rules = fitting.FitRules(num_steps)
    return fitting.automatic_batching(inr, starts, datapoints, rules=rules, has_target=has_target)
