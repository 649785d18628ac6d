"""The weighted squared error of one INR as a function of its flat weights, in the form that a CPU computes fastest.

Values are stored channels first, and the weights of the points are normalised in advance. A step then neither
transposes nor divides. Letters: ``N`` points, ``D`` coordinate dimensions, ``C`` channels, ``P`` weights.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hyperinr import weights as weights_lib
from hyperinr.fitting.precision import bfloat16_products
from hyperinr.types import Array, Datapoint, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['Points', 'ValueAndGradient', 'normalised', 'points_of', 'value_and_gradient']

PRECISIONS = ('float32', 'bfloat16')


class Points(NamedTuple):
    """The points of a step.

    Attributes:
      coords: ``[N, D]``.
      values: ``[C, N]``.
      scale: ``[N]``; the loss is ``sum_n scale_n sum_c (predicted - values)^2``.
      goal_points: points that a `Goal` is checked on; they are not part of the loss.
    """

    coords: Array
    values: Array
    scale: Array
    goal_points: Datapoint | None = None


ValueAndGradient = Callable[[Array, Points], tuple[tuple[Array, Array], Array]]
"""``(flat [P], points) -> ((loss [], squared errors summed over channels [N]), gradient [P])``."""


def normalised(weight: Array, channels: int) -> Array:
    """Return the scales ``[N]`` with which the loss is `metrics.mean_squared_error`; all 0 if all weights are 0."""
    return weight / (channels * jnp.maximum(jnp.sum(weight), jnp.finfo(jnp.float32).tiny))


def points_of(datapoint: Datapoint, goal_points: Datapoint | None = None) -> Points:
    """Return all points of a datapoint, with the points of its goal."""
    coords, values, weight, *_ = datapoint.counted()
    scale = normalised(jnp.asarray(weight), values.shape[-1])
    return Points(coords, jnp.asarray(values).T, scale, None if goal_points is None else goal_points.counted())


def value_and_gradient(
    apply: Callable[[InrWeights, Array], Array], spec: WeightSpec, *, precision: str = 'float32'
) -> ValueAndGradient:
    """Return a function of the loss of an INR and its gradient, by automatic differentiation.

    Args:
      apply: ``apply`` of an `Inr`.
      spec: layout of its weights.
      precision: ``'float32'`` or ``'bfloat16'``. With ``'bfloat16'`` the factors of products are rounded to bfloat16
        and summed in float32; weights, optimiser and all other operations stay float32.
    """

    def loss(flat: Array, points: Points) -> tuple[Array, Array]:
        predicted = apply(weights_lib.unflatten(flat, spec), points.coords)
        errors = jnp.sum(jnp.square(predicted.T - points.values), axis=0)
        return jnp.sum(errors * points.scale), errors

    both = jax.value_and_grad(loss, has_aux=True)
    return bfloat16_products(both) if precision == 'bfloat16' else both
