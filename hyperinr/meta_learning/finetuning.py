"""Fine-tuning that goes on from a generated start without undoing it."""

from collections.abc import Sequence

import jax
import numpy as np
import optax

from hyperinr.fitting import FitResult, check_record_steps, check_target, fit
from hyperinr.meta_learning.own_steps import take_own_steps
from hyperinr.types import Datapoint, MetaLearner, Params

__all__ = ['finetune', 'gentle_adam']


def gentle_adam(
    *, learning_rate: float = 1e-3, warmup_steps: int = 20, b1: float = 0.9, b2: float = 0.99
) -> optax.GradientTransformation:
    """AMSGrad whose rate grows linearly from ``learning_rate / warmup_steps`` and then stays.

    Adam's first steps have the size of its rate in *every* weight, however small the gradient: at a usual rate they
    undo a start that is already close. Within the warm-up the second moments learn which weights matter. That they
    never fall again (Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018), algorithm 2) keeps the
    steps small once the gradients have become so, where Adam oscillates: the comparison is in docs/decisions.md.

    Args:
      learning_rate: after the warm-up.
      warmup_steps: >= 1.
      b1: decay of the first moment.
      b2: decay of the second moment.

    Raises:
      ValueError: ``warmup_steps`` below 1.
    """
    if warmup_steps < 1:
        raise ValueError(f'warmup_steps must be >= 1, not {warmup_steps}.')
    schedule = optax.linear_schedule(learning_rate / warmup_steps, learning_rate, warmup_steps - 1)
    return optax.amsgrad(schedule, b1=b1, b2=b2)


DEFAULT_OPTIMIZER = gentle_adam()


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
      optimizer: of the steps after the K-th; the same object in every call reuses the compiled function.
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
