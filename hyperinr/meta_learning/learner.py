"""The meta-learner: encode, adapt for K steps, decode, and differentiate the outer loss through these three."""

import functools
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hyperinr import metrics
from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.meta_learning.adaptation import InnerStep, adapt, follow, gradient_descent
from hyperinr.meta_learning.losses import Loss, LossSteps, last_step, log_mse
from hyperinr.meta_learning.mapped_gradients import automatic_group_size, mean_over_batch
from hyperinr.meta_learning.meta_gradients import MetaGradient, unrolled
from hyperinr.meta_learning.observation import observe_fraction
from hyperinr.meta_learning.points import PointChoice, all_points, take_counted
from hyperinr.types import (
    Array,
    Code,
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


@checked
def meta_learner(
    *,
    hypernetwork: Hypernetwork,
    inr: Inr,
    optimizer: optax.GradientTransformation,
    data_range: tuple[float, float] = (0.0, 1.0),
    num_steps: int = 3,
    inner_step: InnerStep = gradient_descent(),  # noqa: B008
    context_points: PointChoice = all_points(),  # noqa: B008
    num_target_points: int | None = None,
    meta_gradient: MetaGradient = unrolled(),  # noqa: B008
    first_order: bool = False,
    second_order_steps: int | None = None,
    rematerialize: bool = False,
    observed_fraction: float = 1.0,
    loss: Loss = log_mse(),  # noqa: B008
    loss_steps: LossSteps = last_step(),  # noqa: B008
    average_decay: float | None = 0.99,
    group_size: int | None = None,
) -> MetaLearner:
    """Return a learner that trains a hypernetwork through K steps of fine-tuning of the weights that it generates.

    K = 0 trains a plain hypernetwork. A constant encoder gives MAML; with learned rates it is Meta-SGD.

    Args:
      hypernetwork: encodes datapoints and decodes codes.
      inr: evaluates the weights.
      optimizer: minimises the outer loss.
      data_range: ``(low, high)`` of the values, for the PSNR and the unit of the loss.
      num_steps: K >= 0.
      inner_step: moves the code in one step: `gradient_descent`, or any function with the same arguments.
      context_points: the points that each inner step sees: `all_points`, `uniform_points`, `largest_error_points`
        (GradNCP) or `every_kth`.
      num_target_points: number of points that the outer loss is measured on in training, drawn uniformly among those
        that count; ``None``: all points.
      meta_gradient: `unrolled`, the derivative of the outer loss through the steps, or `reptile`.
      first_order: omit second derivatives from the outer gradient (FOMAML).
      second_order_steps: number of last steps with second derivatives (truncated unrolling); ``None``: all steps.
      rematerialize: recompute inner steps in the outer backward pass. It needs the memory of one step, and more
        arithmetic.
      observed_fraction: in (0, 1], the fraction of each datapoint's points that the encoder and the adaptation see in
        training, drawn anew in every update. The loss is measured on all points. For in-painting and sparse pixels.
      loss: the outer loss of a datapoint: `log_mse`, `mse`, or any function with the same arguments. It gets values in
        units of the data range, so that the same loss suits every range.
      loss_steps: the steps after which the loss is measured: `last_step` or `every_step`. The reported PSNR is measured
        after the last of these steps.
      average_decay: decay of the exponential moving average of the parameters, warmed up as
        ``min(decay, (1 + t) / (10 + t))``. Generation uses the average; with ``None`` it uses the parameters.
      group_size: datapoints that run together on one device; ``None``: chosen by platform. It changes results by
        rounding only.

    Returns:
      A `MetaLearner`.

    Raises:
      ValueError: a value is outside its range, or a function is not what the factories of its module return.
    """
    for name, part, num_arguments, factories in (
        ('inner_step', inner_step, 3, 'gradient_descent()'),
        ('loss', loss, 2, 'log_mse() or mse()'),
        ('loss_steps', loss_steps, 1, 'last_step() or every_step()'),
    ):
        if not _takes(part, num_arguments):
            raise ValueError(f'{name} must be what meta_learning.{factories} returns, not {part!r}.')
    check_not_negative('a meta_learner', num_steps=num_steps, second_order_steps=second_order_steps)
    check_positive('a meta_learner', group_size=group_size)
    if not meta_gradient.through_steps and num_steps < 1:
        raise ValueError('meta_gradient reptile() needs num_steps >= 1: without steps the code does not change.')
    if not data_range[0] < data_range[1]:
        raise ValueError(f'data_range must be (low, high) with low < high, not {data_range}.')
    if not 0 < observed_fraction <= 1:
        raise ValueError(f'observed_fraction must be in (0, 1], not {observed_fraction}.')
    if average_decay is not None and not 0 <= average_decay < 1:
        raise ValueError(f'average_decay must be in [0, 1), not {average_decay}.')
    exact_steps = 0 if first_order else num_steps if second_order_steps is None else min(second_order_steps, num_steps)
    measured_steps = tuple(loss_steps(num_steps))
    unit = 1 / (data_range[1] - data_range[0])
    observe = functools.partial(observe_fraction, fraction=observed_fraction)

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

    def gradient(state: TrainState, context: Datapoint, target: Datapoint) -> tuple[Params, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        return jax.grad(batch_loss, has_aux=True)(state.params, context, target, key)

    def batch_loss(params: Params, context: Datapoint, target: Datapoint, key: Key) -> tuple[Array, Metrics]:
        context_key, target_key, observe_key = jax.random.split(key, 3)
        target = target.counted()
        if observed_fraction < 1:
            # The key depends on the datapoint, not on its row in the batch: rows depend on the number of devices.
            observe_keys = jax.vmap(jax.random.fold_in, (None, 0))(observe_key, context.index)
            context = jax.vmap(observe)(observe_keys, context)
        starts = jax.vmap(hypernetwork.encode, (None, 0))(params, context)
        example = jax.tree.map(lambda leaf: leaf[0], starts.code)
        decode, decode_params = jax.closure_convert(lambda code: hypernetwork.decode(params, code), example)
        batch_size, num_points, _ = context.coords.shape
        drawn = context_points.draw(context_key, num_points, num_steps) if num_steps else ()
        drawn = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch_size, *leaf.shape)), drawn)
        if num_target_points is not None and num_target_points < target.coords.shape[1]:
            order = jax.random.permutation(target_key, target.coords.shape[1])
            target = jax.vmap(lambda each: take_counted(each, order, num_target_points))(target)

        def datapoint_loss(decode_params: Any, start: Start, data: Any) -> tuple[Array, Array]:
            context, drawn, target = data
            weights_of = lambda code: decode(code, *decode_params)

            def adapted(start: Start) -> list[Code]:
                return adapt(
                    inr, weights_of, start, context,
                    num_steps=num_steps, inner_step=inner_step, choice=context_points, drawn=drawn,
                    second_order_steps=exact_steps, rematerialize=rematerialize,
                )  # fmt: skip

            def measure(codes: list[Code]) -> tuple[Array, Array]:
                values = [inr.apply(weights_of(codes[step]), jnp.asarray(target.coords)) for step in measured_steps]
                in_units = target._replace(values=target.values * unit)
                value = jnp.mean(jnp.stack([loss(predicted * unit, in_units) for predicted in values]))
                return value, metrics.mean_squared_error(values[-1], target.values, target.weight)

            return meta_gradient.loss(start, adapted, measure)

        size = group_size or automatic_group_size(batch_size)
        if batch_size % size:
            raise ValueError(f'group_size {size} must divide the {batch_size} datapoints of a device.')
        data = context, drawn, target
        value, errors = mean_over_batch(datapoint_loss, decode_params, starts, data, group_size=size)
        return value, {'loss': value, 'psnr_db': jnp.mean(metrics.psnr_from_mse(errors, data_range))}

    def apply_gradient(state: TrainState, gradient: Params) -> tuple[TrainState, Metrics]:
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = params if average_decay is None else _averaged(state, params, average_decay)
        applied = TrainState(state.step + 1, params, opt_state, average, state.key)
        return applied, {'gradient_norm': optax.tree.norm(gradient)}

    def follow_start(params: Params, start: Start, datapoint: Datapoint, num_steps: int) -> tuple[InrWeights, Array]:
        decode = lambda code: hypernetwork.decode(params, code)
        choice = context_points if context_points.when_generating else all_points()
        return follow(inr, decode, start, datapoint, num_steps=num_steps, inner_step=inner_step, choice=choice)

    def flops(batch: Datapoint) -> float:
        """Return the operations of the INRs' matrix products in one update, see `MetaLearner.flops`."""
        num_datapoints, num_points, coord_dims = batch.coords.shape
        shapes = jax.eval_shape(lambda key: inr.init(key, coord_dims), jax.random.key(0))
        coords = jax.ShapeDtypeStruct((num_points, coord_dims), jnp.float32)
        # The derivative of a product by one of its factors takes as many operations as the product.
        forward = _product_flops(jax.make_jaxpr(inr.apply)(shapes, coords).jaxpr) / num_points
        seen, ranked = context_points.cost(num_points)
        exact = exact_steps if meta_gradient.through_steps else 0
        # A gradient costs 3 forward passes. A gradient step and its derivative together cost 9.
        inner = (3 * (num_steps - exact) + 9 * exact) * seen + num_steps * ranked
        outer = 3 * min(num_target_points or num_points, num_points) * len(measured_steps)
        return float(num_datapoints * forward * (inner + outer))

    return MetaLearner(
        init=init,
        gradient=gradient,
        apply_gradient=apply_gradient,
        follow=follow_start,
        num_steps=num_steps,
        hypernetwork=hypernetwork,
        inr=inr,
        flops=flops,
        observe=observe,
    )


def _product_flops(traced: Any) -> float:
    """Return the operations of the products in a jaxpr: 2 m k n for ``[m, k]`` and ``[k, n]``."""
    total = 0.0
    for equation in traced.eqns:
        if equation.primitive.name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            left = equation.invars[0].aval.shape
            total += 2.0 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
        inner = [value.jaxpr for value in equation.params.values() if hasattr(value, 'jaxpr')]
        total += sum(map(_product_flops, inner))
    return total


def _averaged(state: TrainState, params: Params, average_decay: float) -> Params:
    t = state.step.astype(jnp.float32)
    decay = jnp.minimum(average_decay, (1 + t) / (10 + t))
    return optax.incremental_update(params, state.average, 1 - decay)


def _takes(function: Any, num_arguments: int) -> bool:
    """Tell whether ``function`` can be called with ``num_arguments`` arguments; a factory takes none."""
    try:
        inspect.signature(function).bind(*range(num_arguments))
    except (TypeError, ValueError):
        return False
    return True
