"""Fine-tuning that goes on from a generated start without undoing it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import metrics
from hyperinr import weights as weights_lib
from hyperinr.fitting import FitResult, check_record_steps, check_target, fit, map_datapoints
from hyperinr.sharding import broadcast, map_on_devices, shard
from hyperinr.types import Array, Datapoint, InrWeights, MetaLearner, Params

__all__ = ['finetune', 'gentle_adam', 'learned_metric']


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

    The learned rates go on shaping the later steps, see `learned_metric`.

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
      metric_power: of `learned_metric`; 0 leaves ``optimizer`` as it is.

    Returns:
      A `FitResult`.

    Raises:
      InputError: ``record_steps`` not increasing or outside [0, num_steps], or a target without a range.
    """
    record = check_record_steps(record_steps, num_steps)
    check_target(target_psnr, data_range)
    own_steps = min(learner.num_steps, num_steps)
    own_record = tuple(step for step in record if step < own_steps)
    start, own_mse, own_snapshots = _own_steps(
        learner.adapt, learner.inr.apply, params, datapoints, own_steps, own_record
    )
    shaped = metric_power and num_steps > own_steps
    metric = learned_metric(learner, params, datapoints, power=metric_power) if shaped else None
    later = fit(
        learner.inr,
        start,
        datapoints,
        optimizer=optimizer,
        num_steps=num_steps - own_steps,
        record_steps=[step - own_steps for step in record if step >= own_steps],
        target_psnr=target_psnr,
        data_range=data_range,
        step_scale=metric,
    )
    return later._replace(
        mse=np.concatenate([own_mse[:, :-1], later.mse], axis=1),
        snapshots=jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), own_snapshots, later.snapshots),
        num_steps=own_steps + later.num_steps,
    )


def learned_metric(
    learner: MetaLearner, params: Params, datapoints: Datapoint, *, power: float = 0.5
) -> InrWeights | None:
    """How far each weight may go in a step, ``(rate / geometric mean of the rates)^power``, leaves ``[B, ...]``.

    A learned rate is small where a small change of the weight changes much. Adam's steps are alike in all weights and
    know nothing of that until their second moments do; multiplied by this metric they leave a generated start alone
    where it is delicate. Weights without a rate (0, or a code that is no weights: a latent) have a factor of 1.

    Args:
      learner: trained.
      params: of its hypernetwork.
      datapoints: leaves ``[B, ...]``.
      power: of the relative rates; 1/2 was the best of 1/2, 3/4 and 1 (docs/decisions.md).

    Returns:
      The factors, or ``None`` where the learner's codes are not the weights themselves.
    """
    return _learned_metric(learner.hypernetwork.encode, learner.hypernetwork.decode, params, datapoints, power)


@functools.partial(jax.jit, static_argnames=('encode', 'decode'))
def _learned_metric(
    encode: Callable[..., Any], decode: Callable[..., Any], params: Params, datapoints: Datapoint, power: float
) -> InrWeights | None:
    def one(datapoint: Datapoint) -> InrWeights | None:
        start = encode(params, datapoint)
        if jax.tree.map(jnp.shape, start.code) != jax.tree.map(jnp.shape, decode(params, start.code)):
            return None
        spec = weights_lib.spec_of(start.code)
        last = jax.tree.map(lambda leaf, rate: jnp.broadcast_to(rate[-1], leaf.shape), start.code, start.rates)
        rates = weights_lib.flatten(last, spec)
        learned = rates > 0
        logarithms = jnp.log(jnp.where(learned, rates, 1))
        mean = jnp.sum(logarithms) / jnp.maximum(jnp.sum(learned), 1)
        return weights_lib.unflatten(jnp.where(learned, jnp.exp(power * (logarithms - mean)), 1), spec)

    return map_datapoints(one, datapoints)


def _own_steps(
    adapt: Callable[[Params, Datapoint, int], InrWeights],
    apply: Callable[..., Any],
    params: Params,
    datapoints: Datapoint,
    own_steps: int,
    record: tuple[int, ...],
) -> tuple[InrWeights, Array, InrWeights]:
    """Weights after ``own_steps`` with leaves ``[B, ...]``, errors ``[B, own_steps + 1]``, weights at ``record``.

    The datapoints are dealt out to the local devices, the first ones again where they do not come out even.
    """
    size = len(datapoints.index)
    devices = tuple(jax.local_devices()[:size])
    rows = np.arange(-(-size // len(devices)) * len(devices)) % size
    shards = shard(jax.tree.map(lambda leaf: np.asarray(leaf)[rows], datapoints), devices)
    found = _own_program(adapt, apply, own_steps, record, devices)(broadcast(params, devices), shards)
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(len(rows), *leaf.shape[2:])[:size], found)


@functools.lru_cache(maxsize=64)
def _own_program(
    adapt: Callable[[Params, Datapoint, int], InrWeights],
    apply: Callable[..., Any],
    own_steps: int,
    record: tuple[int, ...],
    devices: tuple[jax.Device, ...],
) -> Callable[..., tuple[InrWeights, Array, InrWeights]]:
    def on_device(params: Params, datapoints: Datapoint) -> tuple[InrWeights, Array, InrWeights]:
        def one(datapoint: Datapoint) -> tuple[InrWeights, Array, InrWeights]:
            own = adapt(params, datapoint, own_steps)
            values = jax.lax.map(lambda weights: apply(weights, datapoint.coords), own)
            mse = metrics.mean_squared_error(values, datapoint.values[None], datapoint.weight[None])
            recorded = jax.tree.map(lambda leaf: leaf[jnp.array(record, int)], own)
            return jax.tree.map(lambda leaf: leaf[-1], own), mse, recorded

        return map_datapoints(one, datapoints)

    return map_on_devices(on_device, devices)
