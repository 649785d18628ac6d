"""Fine-tuning that goes on from a generated start without undoing it."""

from collections.abc import Sequence

import jax
import numpy as np
import optax

from hyperinr.fitting import FitResult, check_record_steps, check_target, fit, optimizers
from hyperinr.meta_learning.own_steps import take_own_steps
from hyperinr.types import Datapoint, MetaLearner, Params
from hyperinr.weights import WeightSpec

__all__ = ['finetune']


DEFAULT_OPTIMIZER = optimizers.conjugate_gradient()(WeightSpec((), ()))
"""Its lengths are measured at every step, so that none leaves what the start is good for (docs/decisions.md)."""


def finetune(
    learner: MetaLearner,
    params: Params,
    datapoints: Datapoint,
    *,
    num_steps: int,
    record_steps: Sequence[int] = (),
    optimizer: optax.GradientTransformation = DEFAULT_OPTIMIZER,
    target_psnr: float | None = None,
    data_range: tuple[float, float] | None = None,
    metric_power: float = 0.5,
) -> FitResult:
    """Generates weights and fine-tunes them: the learner's own K steps at their learned rates, then ``optimizer``.

    The learned rates go on shaping the later steps, see `hyperinr.meta_learning.learned_metric`.

    Steps count from the hypernetwork's raw output: ``mse[:, 0]`` is its error, ``mse[:, K]`` that of `generate`.

    Args:
      learner: trained.
      params: of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      num_steps: in all, >= 0.
      record_steps: increasing step counts in [0, num_steps] whose weights are wanted.
      optimizer: of the steps after the K-th, any that `hyperinr.fitting.fit` takes; by default
        `hyperinr.fitting.optimizers.conjugate_gradient`. The same object in every call reuses the compiled function.
      target_psnr: dB at which an INR stops, from the K-th step on; ``None``: all steps.
      data_range: ``(low, high)`` of the values, for the target.
      metric_power: of that metric; 0 leaves ``optimizer`` as it is.

    Returns:
      A `FitResult`.

    Raises:
      InputError: ``record_steps`` not increasing or outside [0, num_steps], or a target without a range.
    """
    record = check_record_steps(record_steps, num_steps)
    check_target(target_psnr, data_range)
    own_steps = min(learner.num_steps, num_steps)
    own = take_own_steps(
        learner,
        params,
        datapoints,
        num_steps=own_steps,
        record_steps=[step for step in record if step < own_steps],
        metric_power=metric_power if metric_power and num_steps > own_steps else None,
    )
    later = fit(
        learner.inr,
        own.weights,
        datapoints,
        optimizer=optimizer,
        num_steps=num_steps - own_steps,
        record_steps=[step - own_steps for step in record if step >= own_steps],
        target_psnr=target_psnr,
        data_range=data_range,
        step_scale=own.metric,
    )
    return later._replace(
        mse=np.concatenate([own.mse[:, :-1], later.mse], axis=1),
        snapshots=jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), own.snapshots, later.snapshots),
        num_steps=own_steps + later.num_steps,
    )
