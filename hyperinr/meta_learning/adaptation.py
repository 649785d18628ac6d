"""Adapt a code to a datapoint by K steps of gradient descent with learned step sizes."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hyperinr import metrics
from hyperinr.meta_learning.points import PointChoice, all_points
from hyperinr.types import Array, Code, Datapoint, Inr, InrWeights, Start

__all__ = ['InnerStep', 'adapt', 'follow', 'gradient_descent', 'rates_at', 'reconstruction_error']

Decode = Callable[[Code], InrWeights]
InnerStep = Callable[[Code, Code, Code], Code]
"""``(code, rates, gradient of the error) -> code`` after one step; ``rates`` broadcast and belong to this step."""


def gradient_descent() -> InnerStep:
    """Return the step ``code - rate * gradient``."""
    return lambda code, rates, gradient: jax.tree.map(lambda c, r, g: c - r * g, code, rates, gradient)


def reconstruction_error(inr: Inr, weights: InrWeights, datapoint: Datapoint) -> Array:
    """Return the weighted mean squared error of one INR on one datapoint, ``[]``."""
    predicted = inr.apply(weights, jnp.asarray(datapoint.coords))
    return metrics.mean_squared_error(predicted, datapoint.values, datapoint.weight)


def rates_at(rates: Code, step: Array | int) -> Code:
    """Return the step sizes of step 0, 1, ...; a step beyond the trained ones uses the last step sizes."""
    return jax.tree.map(lambda leaf: leaf[jnp.minimum(step, leaf.shape[0] - 1)], rates)


def adapt(
    inr: Inr,
    decode: Decode,
    start: Start,
    context: Datapoint,
    *,
    num_steps: int,
    inner_step: InnerStep = gradient_descent(),  # noqa: B008
    choice: PointChoice = all_points(),  # noqa: B008
    drawn: Any = (),
    second_order_steps: int | None = None,
    rematerialize: bool = False,
) -> list[Code]:
    """Return the codes after 0, 1, ... ``num_steps`` steps down the gradient of the error of ``decode(code)``.

    Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks" (2017), section 2.2,
    with the step sizes of ``start.rates``.

    Args:
      inr: evaluates the weights.
      decode: code -> weights.
      start: code and rates.
      context: the observed datapoint, N points.
      num_steps: K >= 0.
      inner_step: moves the code along a gradient.
      choice: the points that each step sees.
      drawn: the result of ``choice.draw``, leaves ``[K, ...]``.
      second_order_steps: number of last steps with second derivatives; ``None``: all steps. The gradients of the
        earlier steps are constants in the outer derivative, so these steps pass the derivative on unchanged. 0 is
        first-order MAML (FOMAML, section 5.2 of the same paper). Shaban, Cheng, Hatch and Boots, "Truncated
        back-propagation for bilevel optimization" (2019), stop the derivative at the earlier steps; here it reaches the
        start.
      rematerialize: recompute each step in the outer derivative. The memory is then that of one step instead of K.
    """
    context = context.counted()

    def step(code: Code, index: Array | int, *, constant_gradient: bool) -> Code:
        seen = _seen(inr, decode, choice, code, context, index, drawn)
        _, gradient = _error_and_gradient(inr, decode, code, context, seen)
        if constant_gradient:
            gradient = jax.lax.stop_gradient(gradient)
        return inner_step(code, rates_at(start.rates, index), gradient)

    exact = num_steps if second_order_steps is None else min(second_order_steps, num_steps)
    codes = [start.code]
    for constant, indices in ((True, range(num_steps - exact)), (False, range(num_steps - exact, num_steps))):
        one = functools.partial(step, constant_gradient=constant)
        if rematerialize:
            codes += _recomputed(one, codes[-1], indices)
        else:
            for index in indices:
                codes.append(one(codes[-1], index))
    return codes


def follow(
    inr: Inr,
    decode: Decode,
    start: Start,
    datapoint: Datapoint,
    *,
    num_steps: int,
    inner_step: InnerStep = gradient_descent(),  # noqa: B008
    choice: PointChoice = all_points(),  # noqa: B008
) -> tuple[InrWeights, Array]:
    """Take the steps of `adapt` in a compiled loop; return the weights and the error after each step.

    Use it where the result is not differentiated. A step that sees all points computes the error with its gradient, at
    no extra cost.

    Args:
      inr: evaluates the weights.
      decode: code -> weights.
      start: code and rates.
      datapoint: the points that the steps see.
      num_steps: >= 0.
      inner_step: moves the code along a gradient.
      choice: the points that each step sees; its ``draw`` is not called.

    Returns:
      The weights after 0, 1, ... steps, leaves ``[num_steps + 1, ...]``, and their mean squared errors on the whole
      datapoint ``[num_steps + 1]``.
    """
    datapoint = datapoint.counted()

    def step(code: Code, index: Array) -> tuple[Code, tuple[InrWeights, Array]]:
        seen = _seen(inr, decode, choice, code, datapoint, index, ())
        (mse, weights), gradient = _error_and_gradient(inr, decode, code, datapoint, seen)
        mse = mse if seen is datapoint else reconstruction_error(inr, weights, datapoint)
        return inner_step(code, rates_at(start.rates, index), gradient), (weights, mse)

    last, (weights, errors) = jax.lax.scan(step, start.code, jnp.arange(num_steps))
    last_weights = decode(last)
    together = lambda before, after: jnp.concatenate([before, after[None]])
    mse = reconstruction_error(inr, last_weights, datapoint)
    return jax.tree.map(together, weights, last_weights), together(errors, mse)


def _seen(
    inr: Inr, decode: Decode, choice: PointChoice, code: Code, points: Datapoint, step: Array | int, drawn: Any
) -> Datapoint:
    """Return the points that ``step`` sees at ``code``; the object ``points`` itself if the step sees all points."""

    def errors() -> Array:
        return jnp.sum((inr.apply(decode(code), jnp.asarray(points.coords)) - points.values) ** 2, axis=-1)

    return choice.select(points, step, jax.tree.map(lambda leaf: leaf[step], drawn), errors)


def _error_and_gradient(
    inr: Inr, decode: Decode, code: Code, points: Datapoint, seen: Datapoint
) -> tuple[tuple[Array, InrWeights], Code]:
    """Return ``((error, weights), gradient)`` on the points seen.

    Error and gradient are 0 if a choice of points has no positive weight.
    """

    def error(code: Code) -> tuple[Array, InrWeights]:
        weights = decode(code)
        if seen is points:
            return reconstruction_error(inr, weights, seen), weights
        weight = jnp.asarray(seen.weight)
        counts = jnp.any(weight > 0)
        return counts * reconstruction_error(inr, weights, seen._replace(weight=jnp.where(counts, weight, 1))), weights

    return jax.value_and_grad(error, has_aux=True)(code)


def _recomputed(step: Callable[[Code, Array | int], Code], code: Code, indices: range) -> list[Code]:
    """Return the code after each step; the outer derivative stores only these codes and recomputes the steps.

    The steps are a loop of the compiled program. If they were unrolled, XLA on a CPU would merge the second computation
    of a step with the first and keep all intermediate values.
    """

    def body(code: Code, index: Array) -> tuple[Code, Code]:
        moved = step(code, index)
        return moved, moved

    _, codes = jax.lax.scan(jax.checkpoint(body), code, jnp.arange(indices.start, indices.stop))
    return [jax.tree.map(lambda leaf, row=row: leaf[row], codes) for row in range(len(indices))]
