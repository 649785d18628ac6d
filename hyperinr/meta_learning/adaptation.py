"""How a code moves: K steps of gradient descent with learned step sizes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hyperinr import metrics
from hyperinr.types import Array, Code, Datapoint, Inr, InrWeights, Start

__all__ = ['adapt', 'adapt_all', 'follow', 'part_of_points', 'rates_at', 'reconstruction_error']

Decode = Callable[[Code], InrWeights]
Select = Callable[[Code, Datapoint], Datapoint]
"""``(code, points) -> points`` that the step from ``code`` looks at."""


def reconstruction_error(inr: Inr, weights: InrWeights, datapoint: Datapoint) -> Array:
    """Weighted mean squared error of one INR on one datapoint, ``[]``."""
    predicted = inr.apply(weights, jnp.asarray(datapoint.coords))
    return metrics.mean_squared_error(predicted, datapoint.values, datapoint.weight)


def part_of_points(points: Datapoint, step: Array | int, parts: int) -> Datapoint:
    """What step 0, 1, ... sees: every ``parts``-th of N points, from the ``step``-th on, in turns.

    Neighbours say nearly the same, so that a step on evenly spread points goes nearly where one on all points goes; and
    steps on parts that have no point in common see everything between them, as those of an incremental gradient method
    do (Bertsekas, "Incremental gradient, subgradient, and proximal methods for convex optimization" (2011), section 1).
    On a grid whose width is a multiple of ``parts`` a part is a set of columns.

    Args:
      points: leaves ``[N, ...]``.
      step: >= 0.
      parts: in [1, N]; 1 is the points themselves.

    Returns:
      ``N // parts`` of the points; the last ``N % parts`` are in no part.

    Raises:
      ValueError: more parts than points.
    """
    if parts == 1:
        return points
    each = points.coords.shape[0] // parts
    if not each:
        raise ValueError(f'step_parts must be at most the number of points, {points.coords.shape[0]}, not {parts}.')
    divided = lambda leaf: jnp.reshape(leaf[: each * parts], (each, parts, *leaf.shape[1:]))
    take = lambda leaf: divided(jnp.asarray(leaf))[:, step % parts]
    return points._replace(coords=take(points.coords), values=take(points.values), weight=take(points.weight))


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
    parts: int = 1,
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
      parts: of `part_of_points`; points given for each step are not divided.

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
        parts=parts,
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
    parts: int = 1,
) -> list[Code]:
    """As `adapt`, but every code on the way: a list of ``num_steps + 1``, the start first."""
    per_step = jnp.ndim(context.coords) == 3
    exact = 0 if first_order else num_steps if second_order_steps is None else min(second_order_steps, num_steps)

    error = reconstruction_error if parts == 1 else _error_of_part

    def stepper(*, first_order: bool) -> Callable[[Code, Array | int], Code]:
        def step(code: Code, index: Array | int) -> Code:
            given = lambda leaf: leaf[index]
            points = jax.tree.map(given, context) if per_step else part_of_points(context, index, parts)
            points = points if select is None else select(code, points)
            gradient = jax.grad(lambda c: error(inr, decode(c), points))(code)
            if first_order:
                gradient = jax.lax.stop_gradient(gradient)
            return _descended(code, rates_at(start.rates, index), gradient)

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


def follow(
    inr: Inr, decode: Decode, start: Start, datapoint: Datapoint, *, num_steps: int, parts: int = 1
) -> tuple[InrWeights, Array]:
    """The way of `adapt` on which weights and errors are looked at; of use where nothing is differentiated.

    Args:
      inr: evaluator.
      decode: code -> weights.
      start: code and rates.
      datapoint: what the steps see.
      num_steps: >= 0.
      parts: of `part_of_points`.

    Returns:
      The weights after 0, 1, ... steps, leaves ``[num_steps + 1, ...]``, and their errors on the whole datapoint
      ``[num_steps + 1]``: a gradient of all points comes with the error of where it was taken.
    """

    def error(code: Code) -> tuple[Array, InrWeights]:
        weights = decode(code)
        return reconstruction_error(inr, weights, datapoint), weights

    def step(code: Code, index: Array) -> tuple[Code, tuple[InrWeights, Array]]:
        if parts == 1:
            (mse, weights), gradient = jax.value_and_grad(error, has_aux=True)(code)
        else:
            mse, weights = error(code)
            points = part_of_points(datapoint, index, parts)
            gradient = jax.grad(lambda c: _error_of_part(inr, decode(c), points))(code)
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


def _error_of_part(inr: Inr, weights: InrWeights, part: Datapoint) -> Array:
    """`reconstruction_error`; 0 where no point of the part counts, so that such a step goes nowhere."""
    weight = jnp.asarray(part.weight)
    counts = jnp.any(weight > 0)
    return counts * reconstruction_error(inr, weights, part._replace(weight=jnp.where(counts, weight, 1)))


def _descended(code: Code, rates: Code, gradient: Code) -> Code:
    return jax.tree.map(lambda c, r, g: c - r * g, code, rates, gradient)
