"""Fine-tune generated weights with an optimiser that does not make a good start worse."""

from collections.abc import Sequence

import jax
import numpy as np
import optax

from hyperinr.annotations import checked
from hyperinr.fitting import FitResult, check_record_steps, check_target, fit, optimizers
from hyperinr.meta_learning.batch_adaptation import adapt_batch
from hyperinr.types import Datapoint, MetaLearner, Params
from hyperinr.weights import WeightSpec

__all__ = ['finetune']

DEFAULT_OPTIMIZER = optimizers.conjugate_gradient()(WeightSpec((), ()))
"""It measures the length of every step, so no step makes a good start worse (docs/decisions.md)."""


@checked
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
    """Generate weights and fine-tune them: K adaptation steps at the learned rates, then steps of ``optimizer``.

    The learned rates also scale the later steps, see `hyperinr.meta_learning.learned_metric`. Steps count from the
    hypernetwork's raw output: ``mse[:, 0]`` is the error of that output, ``mse[:, K]`` the error of `generate`.

    Args:
      learner: trained.
      params: parameters of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      num_steps: in all, >= 0.
      record_steps: increasing step counts in [0, num_steps] whose weights are returned.
      optimizer: takes the steps after the K-th; any optimiser that `hyperinr.fitting.fit` takes, by default
        `hyperinr.fitting.optimizers.conjugate_gradient`. The same object in every call reuses the compiled function.
      target_psnr: PSNR in dB at which an INR stops, from the K-th step on; ``None``: take all steps.
      data_range: ``(low, high)`` of the values, for the target.
      metric_power: power of the learned metric; 0 leaves ``optimizer`` unchanged.

    Returns:
      A `FitResult`.

    Raises:
      InputError: ``record_steps`` not increasing or outside [0, num_steps], or a target without a range.
    """
    record = check_record_steps(record_steps, num_steps)
    check_target(target_psnr, data_range)
    adaptation_steps = min(learner.num_steps, num_steps)
    adapted = adapt_batch(
        learner,
        params,
        datapoints,
        num_steps=adaptation_steps,
        record_steps=[step for step in record if step < adaptation_steps],
        metric_power=metric_power if metric_power and num_steps > adaptation_steps else None,
    )
    later = fit(
        learner.inr,
        adapted.weights,
        datapoints,
        optimizer=optimizer,
        num_steps=num_steps - adaptation_steps,
        record_steps=[step - adaptation_steps for step in record if step >= adaptation_steps],
        target_psnr=target_psnr,
        data_range=data_range,
        step_scale=adapted.metric,
    )
    return later._replace(
        mse=np.concatenate([adapted.mse[:, :-1], later.mse], axis=1),
        snapshots=jax.tree.map(lambda *each: np.concatenate(each, axis=1), adapted.snapshots, later.snapshots),
        num_steps=adaptation_steps + later.num_steps,
        best_step=adaptation_steps + later.best_step,
    )
