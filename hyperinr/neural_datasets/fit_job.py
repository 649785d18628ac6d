"""The one place where neural datasets meet the fitting engine: a chunk of starts and signals in, fitted weights out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import fitting, metrics
from hyperinr import weights as weights_lib
from hyperinr.neural_datasets.description import STATUSES
from hyperinr.types import Array, Datapoint, Inr, InrWeights

__all__ = ['FittedChunk', 'fit_chunk']

OK, DIVERGED, MISSED_TARGET = (STATUSES.index(name) for name in ('ok', 'diverged', 'missed_target'))


class FittedChunk(NamedTuple):
    """What became of B INRs.

    Attributes:
      weights: ``[B, P]`` float32.
      steps: ``[B]`` gradient steps that the weights are the result of.
      mse: ``[B]`` mean squared error of these weights.
      status: ``[B]`` positions in `description.STATUSES`.
    """

    weights: np.ndarray
    steps: np.ndarray
    mse: np.ndarray
    status: np.ndarray


def fit_chunk(
    inr: Inr,
    starts: InrWeights,
    datapoints: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    target_psnr_db: float | None,
    data_range: tuple[float, float],
) -> FittedChunk:
    """Fits B INRs, each on its own: the result of one depends on no other.

    Args:
      inr: evaluates the weights.
      starts: leaves ``[B, ...]``.
      datapoints: leaves ``[B, ...]``.
      optimizer: the same object for every chunk, so that it is compiled once.
      num_steps: gradient steps; at most so many where there is a target.
      target_psnr_db: an INR stops at the first step where it has this PSNR; ``None``: all take ``num_steps``.
      data_range: ``(low, high)`` of the values, for the PSNR.
    """
    if target_psnr_db is None:
        result = fitting.fit(inr, starts, datapoints, optimizer=optimizer, num_steps=num_steps)
        fitted, mse = result.weights, result.mse[:, -1]
        steps = np.full(len(mse), num_steps)
        target_mse = np.inf
    else:
        low, high = data_range
        target_mse = (high - low) ** 2 / 10 ** (target_psnr_db / 10)
        fitted, steps, mse = _fit_to_target(inr.apply, starts, datapoints, optimizer, num_steps, target_mse)
    flat = np.asarray(weights_lib.flatten(fitted, weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], fitted))))
    mse = np.asarray(mse)
    finite = np.isfinite(mse) & np.isfinite(flat).all(axis=1)
    status = np.where(finite, np.where(mse <= target_mse, OK, MISSED_TARGET), DIVERGED)
    return FittedChunk(flat, np.asarray(steps), mse, status)


@functools.partial(jax.jit, static_argnames=('apply', 'optimizer', 'num_steps'))
def _fit_to_target(
    apply: Callable,
    starts: InrWeights,
    datapoints: Datapoint,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    target_mse: Array,
) -> tuple[InrWeights, Array, Array]:
    def one(weights: InrWeights, datapoint: Datapoint) -> tuple[InrWeights, Array, Array]:
        spec = weights_lib.spec_of(weights)

        def loss(flat: Array) -> Array:
            predicted = apply(weights_lib.unflatten(flat, spec), datapoint.coords)
            return metrics.mean_squared_error(predicted, datapoint.values, datapoint.weight)

        def step(carry: tuple) -> tuple:
            flat, state, taken, _, gradient = carry
            updates, state = optimizer.update(gradient, state, flat)
            flat = optax.apply_updates(flat, updates)
            return flat, state, taken + 1, *jax.value_and_grad(loss)(flat)

        def goes_on(carry: tuple) -> Array:
            return (carry[2] < num_steps) & ~(carry[3] <= target_mse) & jnp.isfinite(carry[3])

        flat = weights_lib.flatten(weights, spec)
        carry = (flat, optimizer.init(flat), jnp.int32(0), *jax.value_and_grad(loss)(flat))
        flat, _, taken, mse, _ = jax.lax.while_loop(goes_on, step, carry)
        return weights_lib.unflatten(flat, spec), taken, mse

    return fitting.map_datapoints(one, starts, datapoints)
