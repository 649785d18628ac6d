"""Preconditioned conjugate gradients with measured step lengths: no learning rate, and no step that spoils a start."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from hyperinr.fitting.quadratic_model import QuadraticModel
from hyperinr.types import Array

__all__ = ['conjugate_gradient_steps']

ROUNDING = 1e-5
"""Relative rise of a loss that is tolerated. Without it a fit would stall once its steps are as small as rounding."""


class _State(NamedTuple):
    """Steps done ``[]``; mean squared gradient ``[P]``; last update ``[P]``; loss before the last update ``[]``."""

    steps: Array
    square: Array
    last: Array
    before: Array


def conjugate_gradient_steps(
    rate: optax.ScalarOrSchedule, *, decay: float, parts: int, damping: float, retreat: float
) -> optax.GradientTransformationExtraArgs:
    """Return the optimiser that `hyperinr.fitting.optimizers.conjugate_gradient` describes.

    Its ``update`` needs a ``model``. If it gets a ``value``, it takes back steps after which the loss has risen.
    """

    def init(flat: Array) -> _State:
        zeros = jnp.zeros_like(flat)
        return _State(jnp.int32(0), zeros, zeros, jnp.asarray(jnp.inf, flat.dtype))

    def update(
        gradient: Array,
        state: _State,
        params: Array | None = None,
        *,
        model: QuadraticModel,
        value: Array | None = None,
        **others: Any,
    ) -> tuple[Array, _State]:
        del params, others
        steps = state.steps + 1
        square = decay * state.square + (1 - decay) * gradient**2
        root = jnp.sqrt(square / (1 - decay ** steps.astype(square.dtype)))
        direction = -gradient / jnp.maximum(root, jnp.finfo(root.dtype).tiny)
        direction = direction / jnp.maximum(jnp.linalg.norm(direction), jnp.finfo(root.dtype).tiny)
        directions = jnp.stack([direction, state.last])
        lengths = _lowest(*model(directions, part=state.steps, parts=parts), damping)
        step = (rate(state.steps) if callable(rate) else rate) * (lengths @ directions)
        if value is None:
            return step, _State(steps, square, step, state.before)
        rose = value > (1 + ROUNDING) * state.before
        taken = jnp.where(rose, (retreat - 1) * state.last, step)
        last = jnp.where(rose, retreat * state.last, step)
        return taken, _State(steps, square, last, jnp.where(rose, state.before, value))

    return optax.GradientTransformationExtraArgs(init, update)


def _lowest(slopes: Array, curvatures: Array, damping: float) -> Array:
    """Return the lengths ``[2]`` that minimise the damped model; 0 along a direction that changes no value."""
    diagonal = jnp.diag(curvatures)
    unit = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    first, second = unit * slopes
    mixed = curvatures[0, 1] * unit[0] * unit[1]
    stiff = 1 + damping
    lengths = jnp.stack([mixed * second - stiff * first, mixed * first - stiff * second]) / (stiff**2 - mixed**2)
    return unit * lengths
