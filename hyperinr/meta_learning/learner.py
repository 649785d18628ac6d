"""The meta-learner: encode -> adapt K steps -> decode, and the outer gradient through all of it."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from hyperinr import metrics
from hyperinr.meta_learning.adaptation import adapt_all, follow, reconstruction_error
from hyperinr.meta_learning.mapped_gradients import automatic_group_size, mean_over_batch
from hyperinr.meta_learning.observation import observe_fraction
from hyperinr.meta_learning.reptile import toward
from hyperinr.meta_learning.selection import largest_errors
from hyperinr.types import (
    Array,
    Datapoint,
    Hypernetwork,
    Inr,
    InrWeights,
    Key,
    MetaLearner,
    Metrics,
    Params,
    Start,
    TrainState,
)

__all__ = ['meta_learner']


def meta_learner(
    *,
    hypernetwork: Hypernetwork,
    inr: Inr,
    optimizer: optax.GradientTransformation,
    data_range: tuple[float, float] = (0.0, 1.0),
    num_steps: int = 3,
    num_context_points: int | None = None,
    num_target_points: int | None = None,
    first_order: bool = False,
    second_order_steps: int | None = None,
    meta_gradient: Literal['unrolled', 'reptile'] = 'unrolled',
    observed_fraction: float = 1.0,
    context_by: Literal['uniform', 'error'] = 'uniform',
    step_parts: int = 1,
    rematerialize: bool = False,
    loss: Literal['mse', 'log_mse'] = 'log_mse',
    loss_steps: Literal['last', 'all'] = 'last',
    average_decay: float | None = 0.99,
    group_size: int | None = None,
) -> MetaLearner:
    """Trains a hypernetwork through K steps of the fine-tuning that its weights will get.

    K = 0 is the plain hypernetwork; with a constant encoder it is MAML, with learned rates Meta-SGD.

    Args:
      hypernetwork: encode and decode.
      inr: evaluator of the weights.
      optimizer: of the outer loss.
      data_range: ``(low, high)`` of the values, for PSNR.
      num_steps: K >= 0.
      num_context_points: points seen by each inner step in training, drawn anew in every step and shared by the batch;
        ``None`` for all. Generation draws none.
      context_by: how they are drawn: uniformly, or each datapoint's points of largest error at that step (GradNCP,
        see `hyperinr.meta_learning.selection`).
      step_parts: >= 1: each inner step sees one of so many parts of the points, in training and afterwards, the next
        step the next part (see `hyperinr.meta_learning.adaptation.part_of_points`). K steps on K parts cost as much as
        one on all points.
      observed_fraction: in (0, 1]: how much of each datapoint the encoder and the adaptation see in training, drawn
        anew in every update; the loss is measured on all of it. In-painting and few observed pixels.
      num_target_points: points that the outer loss is measured on in training; ``None`` for all.
      first_order: no second derivatives in the outer gradient (FOMAML).
      second_order_steps: second derivatives in the last so many steps only (truncated unrolling); ``None``: in all.
      meta_gradient: the derivative of the outer loss through the unrolled steps, or Reptile's, from where the code
        started to where it went (see `hyperinr.meta_learning.reptile`): rates stay as they are, and what `decode`
        shares gets the derivative at the adapted code.
      rematerialize: recompute inner steps in the outer backward pass: memory of one step, more arithmetic.
      loss: the outer loss of a datapoint: its mean squared error, or the logarithm of it (mean PSNR up to a constant,
        so that easy signals count as much as hard ones).
      loss_steps: measured after the last step, or averaged over the start and every step (Antoniou, Edwards and
        Storkey, "How to train your MAML" (2019): its multi-step loss with equal weights).
      average_decay: of the exponential moving average of the parameters that generation uses, warmed up as
        ``min(decay, (1 + t) / (10 + t))``; ``None`` uses the parameters themselves.
      group_size: datapoints that run together on one device; ``None`` chooses by platform. No effect on results beyond
        rounding.

    Returns:
      A `MetaLearner`.

    Raises:
      ValueError: a value outside the ranges above.
    """
    if num_steps < 0:
        raise ValueError(f'num_steps must be >= 0, not {num_steps}.')
    if loss not in ('mse', 'log_mse') or loss_steps not in ('last', 'all'):
        raise ValueError(f"loss must be 'mse' or 'log_mse', loss_steps 'last' or 'all', not {loss!r}, {loss_steps!r}.")
    if group_size is not None and group_size < 1:
        raise ValueError(f'group_size must be >= 1 or None, not {group_size}.')
    if meta_gradient not in ('unrolled', 'reptile') or context_by not in ('uniform', 'error'):
        raise ValueError(
            f"meta_gradient must be 'unrolled' or 'reptile', context_by 'uniform' or 'error', not {meta_gradient!r}, "
            f'{context_by!r}.'
        )
    if second_order_steps is not None and second_order_steps < 0:
        raise ValueError(f'second_order_steps must be >= 0 or None, not {second_order_steps}.')
    if meta_gradient == 'reptile' and num_steps < 1:
        raise ValueError("meta_gradient 'reptile' needs num_steps >= 1: without steps the code goes nowhere.")
    if step_parts < 1 or (step_parts > 1 and num_context_points is not None):
        raise ValueError(
            f'step_parts must be >= 1, and 1 where num_context_points says what a step sees; they are {step_parts} and '
            f'{num_context_points}.'
        )
    if not 0 < observed_fraction <= 1:
        raise ValueError(f'observed_fraction must be in (0, 1], not {observed_fraction}.')
    if average_decay is not None and not 0 <= average_decay < 1:
        raise ValueError(f'average_decay must be in [0, 1), not {average_decay}.')

    def init(key: Key, datapoint: Datapoint) -> TrainState:
        params_key, train_key = jax.random.split(key)
        params = hypernetwork.init(params_key, datapoint)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            average=jax.tree.map(jnp.copy, params),
            key=train_key,
        )

    def observe(key: Key, datapoint: Datapoint) -> Datapoint:
        return observe_fraction(key, datapoint, observed_fraction)

    def outer_loss(error: Array) -> Array:
        return error if loss == 'mse' else jnp.log(error + 1e-8)

    def gradient(state: TrainState, context: Datapoint, target: Datapoint) -> tuple[Params, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        return jax.grad(batch_loss, has_aux=True)(state.params, context, target, key)

    def batch_loss(params: Params, context: Datapoint, target: Datapoint, key: Key) -> tuple[Array, Metrics]:
        context_key, target_key = jax.random.split(key)
        if observed_fraction < 1:
            # By datapoint, not by its place in the batch, which depends on the number of devices.
            observe_keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, 1), context.index)
            context = jax.vmap(observe)(observe_keys, context)
        starts = jax.vmap(hypernetwork.encode, (None, 0))(params, context)
        example = jax.tree.map(lambda leaf: leaf[0], starts.code)
        decode, decode_params = jax.closure_convert(lambda code: hypernetwork.decode(params, code), example)
        drawn = num_context_points if context_by == 'uniform' else None
        seen = _points_per_step(context_key, context, num_steps, drawn)
        judged = _some_points(target_key, target, num_target_points)

        def datapoint_loss(decode_params, start, data):
            seen, judged = data
            decode_one = lambda code: decode(code, *decode_params)
            worst = num_context_points if context_by == 'error' else None
            codes = adapt_all(
                inr,
                decode_one,
                jax.lax.stop_gradient(start) if meta_gradient == 'reptile' else start,
                seen,
                num_steps=num_steps,
                first_order=first_order,
                second_order_steps=second_order_steps,
                rematerialize=rematerialize,
                select=None if worst is None else largest_errors(inr, decode_one, worst),
                parts=step_parts,
            )
            pull: Array = jnp.zeros(())
            if meta_gradient == 'reptile':
                codes = jax.lax.stop_gradient(codes)
                pull = toward(start.code, codes[-1])
            measured = codes if loss_steps == 'all' else codes[-1:]
            errors = jnp.stack([reconstruction_error(inr, decode_one(code), judged) for code in measured])
            return jnp.mean(outer_loss(errors)) + pull, errors[-1]

        batch_size = context.coords.shape[0]
        size = group_size or automatic_group_size(batch_size)
        if batch_size % size:
            raise ValueError(f'group_size {size} must divide the {batch_size} datapoints of a device.')
        value, errors = mean_over_batch(datapoint_loss, decode_params, starts, (seen, judged), group_size=size)
        return value, {'loss': value, 'psnr_db': jnp.mean(metrics.psnr_from_mse(errors, data_range))}

    def apply_gradient(state: TrainState, gradient: Params) -> tuple[TrainState, Metrics]:
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if average_decay is None:
            average = params
        else:
            t = state.step.astype(jnp.float32)
            decay = jnp.minimum(average_decay, (1 + t) / (10 + t))
            average = optax.incremental_update(params, state.average, 1 - decay)
        applied = TrainState(state.step + 1, params, opt_state, average, state.key)
        return applied, {'gradient_norm': optax.tree.norm(gradient)}

    def update(
        state: TrainState, context: Datapoint, target: Datapoint, *, axis_name: str | None = None
    ) -> tuple[TrainState, Metrics]:
        grads, measured = gradient(state, context, target)
        if axis_name is not None:
            grads, measured = jax.lax.pmean((grads, measured), axis_name)
        applied, norms = apply_gradient(state, grads)
        return applied, {**measured, **norms}

    def generate(params: Params, datapoint: Datapoint) -> InrWeights:
        start = hypernetwork.encode(params, datapoint)
        decode = lambda code: hypernetwork.decode(params, code)
        return decode(adapt_all(inr, decode, start, datapoint, num_steps=num_steps, parts=step_parts)[-1])

    def follow_start(params: Params, start: Start, datapoint: Datapoint, num_steps: int) -> tuple[InrWeights, Array]:
        decode = lambda code: hypernetwork.decode(params, code)
        return follow(inr, decode, start, datapoint, num_steps=num_steps, parts=step_parts)

    def adapt(params: Params, datapoint: Datapoint, num_steps: int) -> InrWeights:
        return follow_start(params, hypernetwork.encode(params, datapoint), datapoint, num_steps)[0]

    def flops(batch: Datapoint) -> float:
        num_datapoints, num_points, coord_dims = batch.coords.shape
        shapes = jax.eval_shape(lambda key: inr.init(key, coord_dims), jax.random.key(0))
        # A product of [out, in] and [in, 1] is 2 in out operations; its derivative by either factor as many.
        forward = 2 * sum(leaf.size for leaf in jax.tree.leaves(shapes) if leaf.ndim == 2)
        seen = min(num_context_points or num_points, num_points) // step_parts
        judged = min(num_target_points or num_points, num_points)
        # A gradient is 3 forward passes, the derivative of a gradient step 9 with itself.
        exact = num_steps if second_order_steps is None else min(second_order_steps, num_steps)
        exact = 0 if first_order or meta_gradient == 'reptile' else exact
        inner = (3 * (num_steps - exact) + 9 * exact) * seen
        inner += num_steps * num_points if context_by == 'error' and seen < num_points else 0
        outer = 3 * judged * (num_steps + 1 if loss_steps == 'all' else 1)
        return float(num_datapoints * forward * (inner + outer))

    return MetaLearner(
        init=init,
        gradient=gradient,
        apply_gradient=apply_gradient,
        update=update,
        generate=generate,
        adapt=adapt,
        follow=follow_start,
        num_steps=num_steps,
        hypernetwork=hypernetwork,
        inr=inr,
        flops=flops,
        observe=observe,
    )


def _some_points(key: Key, batch: Datapoint, num_points: int | None) -> Datapoint:
    """The same random subset of the points of every datapoint of a batch, ``[B, N, ...] -> [B, M, ...]``."""
    total = batch.coords.shape[1]
    if num_points is None or num_points >= total:
        return batch
    rows = jax.random.choice(key, total, (num_points,), replace=False)
    take = lambda array: jnp.take(array, rows, axis=1)
    return batch._replace(coords=take(batch.coords), values=take(batch.values), weight=take(batch.weight))


def _points_per_step(key: Key, batch: Datapoint, num_steps: int, num_points: int | None) -> Datapoint:
    """What each inner step sees: the batch itself, or leaves ``[B, K, M, ...]`` with other points in every step."""
    if num_points is None or num_points >= batch.coords.shape[1] or num_steps == 0:
        return batch
    steps = [_some_points(step_key, batch, num_points) for step_key in jax.random.split(key, num_steps)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *steps)
