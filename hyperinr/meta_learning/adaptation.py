"""How a code moves: K steps of gradient descent with learned step sizes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hyperinr import metrics
from hyperinr.types import Array, Code, Datapoint, Inr, InrWeights, Start

__all__ = ['adapt', 'adapt_all', 'follow', 'gradient_step', 'rates_at', 'reconstruction_error']

Decode = Callable[[Code], InrWeights]
Select = Callable[[Code, Datapoint], Datapoint]
"""``(code, points) -> points`` that the step from ``code`` looks at."""


def reconstruction_error(inr: Inr, weights: InrWeights, datapoint: Datapoint) -> Array:
    """Weighted mean squared error of one INR on one datapoint, ``[]``."""
    predicted = inr.apply(weights, jnp.asarray(datapoint.coords))
    return metrics.mean_squared_error(predicted, datapoint.values, datapoint.weight)


def adapt(
    inr: Inr,
    decode: Decode,
    start: Start,
    context: Datapoint,
    *,
    num_steps: int,
    first_order: bool = False,
    second_order_steps: int | None = None,
    rematerialize: bool = False,
    select: Select | None = None,
) -> Code:
    """The code after ``num_steps`` steps ``code <- code - rate * d error(decode(code)) / d code``.

    Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks" (2017), section 2.2,
    with the step sizes of ``start.rates``; a step beyond the last rate uses the last rate.

    Args:
      inr: evaluator.
      decode: code -> weights.
      start: code and rates.
      context: what is observed, N points; or, with leaves ``[num_steps, ...]``, other points in every step.
      num_steps: K >= 0.
      first_order: treat the gradients as constants in the outer derivative (FOMAML, section 5.2 of the same paper).
      second_order_steps: only the last so many steps have second derivatives; those before them are first order
        (truncation: Shaban, Cheng, Hatch and Boots, "Truncated back-propagation for bilevel optimization" (2019), with
        the identity in place of nothing, so that the start is reached). ``None``: all.
      rematerialize: recompute each step in the outer derivative, for memory of one step instead of K.
      select: what each step looks at; ``None``: all of its points.

    Returns:
      The adapted code.
    """
    return adapt_all(
        inr,
        decode,
        start,
        context,
        num_steps=num_steps,
        first_order=first_order,
        second_order_steps=second_order_steps,
        rematerialize=rematerialize,
        select=select,
    )[-1]


def adapt_all(
    inr: Inr,
    decode: Decode,
    start: Start,
    context: Datapoint,
    *,
    num_steps: int,
    first_order: bool = False,
    second_order_steps: int | None = None,
    rematerialize: bool = False,
    select: Select | None = None,
) -> list[Code]:
    """As `adapt`, but every code on the way: a list of ``num_steps + 1``, the start first."""
    per_step = jnp.ndim(context.coords) == 3
    exact = 0 if first_order else num_steps if second_order_steps is None else min(second_order_steps, num_steps)

    def stepper(*, first_order: bool) -> Callable[[Code, Array | int], Code]:
        move = gradient_step(inr, decode, first_order=first_order, select=select)

        def step(code: Code, index: Array | int) -> Code:
            points = jax.tree.map(lambda leaf: leaf[index], context) if per_step else context
            return move(code, rates_at(start.rates, index), points)

        return step

    codes = [start.code]
    for approximate, indices in ((True, range(num_steps - exact)), (False, range(num_steps - exact, num_steps))):
        step = stepper(first_order=approximate)
        if rematerialize:
            codes += _recomputed(step, codes[-1], indices)
        else:
            for index in indices:
                codes.append(step(codes[-1], index))
    return codes


def follow(inr: Inr, decode: Decode, start: Start, datapoint: Datapoint, *, num_steps: int) -> tuple[InrWeights, Array]:
    """The way of `adapt` on which weights and errors are looked at; of use where nothing is differentiated.

    Args:
      inr: evaluator.
      decode: code -> weights.
      start: code and rates.
      datapoint: what every step sees.
      num_steps: >= 0.

    Returns:
      The weights after 0, 1, ... steps, leaves ``[num_steps + 1, ...]``, and their errors ``[num_steps + 1]``: each
      gradient comes with the error of where it was taken.
    """

    def error(code: Code) -> tuple[Array, InrWeights]:
        weights = decode(code)
        return reconstruction_error(inr, weights, datapoint), weights

    def step(code: Code, index: Array) -> tuple[Code, tuple[InrWeights, Array]]:
        (mse, weights), gradient = jax.value_and_grad(error, has_aux=True)(code)
        return _descended(code, rates_at(start.rates, index), gradient), (weights, mse)

    last, (weights, errors) = jax.lax.scan(step, start.code, jnp.arange(num_steps))
    mse, last_weights = error(last)
    together = lambda before, after: jnp.concatenate([before, after[None]])
    return jax.tree.map(together, weights, last_weights), together(errors, mse)


def _recomputed(step: Callable[[Code, Array | int], Code], code: Code, indices: range) -> list[Code]:
    """The codes after each step, none of which leaves anything else for the derivative.

    A loop of the compiled program: a compiler that takes equal parts together would undo what is computed twice in
    unrolled steps, as XLA does on a CPU.
    """

    def body(code: Code, index: Array) -> tuple[Code, Code]:
        moved = step(code, index)
        return moved, moved

    _, codes = jax.lax.scan(jax.checkpoint(body), code, jnp.arange(indices.start, indices.stop))
    return [jax.tree.map(lambda leaf, row=row: leaf[row], codes) for row in range(len(indices))]


def rates_at(rates: Code, step: Array | int) -> Code:
    """The step sizes of step 0, 1, ...; beyond the last ones given, the last ones."""
    return jax.tree.map(lambda leaf: leaf[jnp.minimum(step, leaf.shape[0] - 1)], rates)


def gradient_step(
    inr: Inr, decode: Decode, *, first_order: bool = False, select: Select | None = None
) -> Callable[[Code, Code, Datapoint], Code]:
    """``(code, rates of this step, points) -> code``, one step of `adapt`."""

    def step(code: Code, rates: Code, points: Datapoint) -> Code:
        points = points if select is None else select(code, points)
        gradient = jax.grad(lambda c: reconstruction_error(inr, decode(c), points))(code)
        if first_order:
            gradient = jax.lax.stop_gradient(gradient)
        return _descended(code, rates, gradient)

    return step


def _descended(code: Code, rates: Code, gradient: Code) -> Code:
    return jax.tree.map(lambda c, r, g: c - r * g, code, rates, gradient)
