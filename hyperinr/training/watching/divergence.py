"""Detect diverged training at low cost, and only then search for the cause."""

from collections.abc import Mapping

import jax
import numpy as np

from hyperinr.errors import RunError
from hyperinr.types import Datapoint, MetaLearner, TrainState

__all__ = ['FallGuard', 'first_not_finite', 'locate', 'not_finite']

MAX_FALL_DB = 20.0
"""Fall in dB below the best mean of a reporting interval. A fall this large is not noise and does not recover."""


def not_finite(metrics: Mapping[str, float]) -> list[str]:
    """Return ``'loss is nan'`` for each metric that is not finite."""
    return [f'{name} is {value}' for name, value in metrics.items() if not np.isfinite(value)]


def first_not_finite(tree: object) -> str | None:
    """Return the path of the first leaf with a value that is not finite, e.g. ``weight_heads/layer_0/w``."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not np.isfinite(np.asarray(leaf)).all():
            return jax.tree_util.keystr(path, simple=True, separator='/')
    return None


def locate(learner: MetaLearner, state: TrainState, batch: Datapoint, metrics: Mapping[str, float]) -> str:
    """Find the cause of a diverged update by repeating its gradient on one device.

    Args:
      learner: the learner.
      state: the state before the update, with a typed key.
      batch: the batch of the update, leaves ``[B, ...]``.
      metrics: metrics of the update, some of them not finite.

    Returns:
      A clause that names the first quantity that is not finite: a parameter; else the metrics, and the first module
      whose gradient is not finite.
    """
    parameter = first_not_finite(state.params)
    if parameter is not None:
        return f'the parameter {parameter} is not finite'
    gradient, _ = jax.jit(learner.gradient)(state, batch, batch)
    found = not_finite(metrics)
    module = first_not_finite(gradient)
    if module is not None:
        found.append(f'the gradient of {module} is not finite')
    return ', '.join(found)


class FallGuard:
    """Stop a run whose training PSNR falls far below its best value without becoming NaN."""

    def __init__(self) -> None:
        self._best = -np.inf

    def check(self, step: int, psnr_db: float | None) -> None:
        """Check the mean PSNR of a reporting interval, in dB.

        Raises:
          RunError: the PSNR is more than `MAX_FALL_DB` below the best so far.
        """
        if psnr_db is None:
            return
        self._best = max(self._best, psnr_db)
        if psnr_db < self._best - MAX_FALL_DB:
            raise RunError(
                f'training diverged by step {step}: psnr_db fell from {self._best:.1f} to {psnr_db:.1f} dB; lower the '
                'learning rate or clip the gradient, and start a new run.'
            )
