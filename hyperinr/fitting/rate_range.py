"""The learning-rate range test: run one short fit with a growing rate and record its error at each rate.

Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3, with a rate that grows geometrically.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr.errors import InputError
from hyperinr.fitting import fit_one, map_datapoints
from hyperinr.types import Array, Datapoint, Inr, InrWeights

__all__ = ['RateRange', 'rate_range']


class RateRange(NamedTuple):
    """The result of a range test.

    Attributes:
      rates: ``[num_steps]``, the increasing rate of each step.
      mse: ``[num_steps]``, the error *after* each step, a geometric mean over the datapoints; infinite after a
        datapoint has diverged.
      rate: the suggested rate, at the steepest descent of the smoothed logarithm of the error before its minimum.
    """

    rates: np.ndarray
    mse: np.ndarray
    rate: float


def rate_range(
    inr: Inr,
    weights: InrWeights,
    datapoints: Datapoint,
    *,
    make: Callable[[float | Array], optax.GradientTransformation],
    lowest: float = 1e-6,
    highest: float = 1.0,
    num_steps: int = 100,
) -> RateRange:
    """Fit with a rate that grows from ``lowest`` to ``highest``, and find the rate at which the error falls fastest.

    Each step is one of ``make`` at the rate of that step; the state goes on. An optimiser that remembers its last step,
    as `conjugate_gradient` and `diagonal_curvature` do, so remembers the step that was taken.

    Args:
      inr: evaluates the weights.
      weights: the starts, leaves ``[B, ...]``.
      datapoints: leaves ``[B, ...]``.
      make: ``rate -> optimiser`` of flat vectors; the rate may be traced.
      lowest: first rate, > 0.
      highest: last rate, > ``lowest``.
      num_steps: >= 10.

    Returns:
      A `RateRange`.

    Raises:
      InputError: rates or steps are outside these ranges, or no rate lowers the error.
    """
    if not 0 < lowest < highest or num_steps < 10:
        raise InputError(
            f'a range test needs 0 < lowest < highest and num_steps >= 10, not {lowest}, {highest}, {num_steps}.'
        )
    rates = np.geomspace(lowest, highest, num_steps)
    one = functools.partial(fit_one, inr, optimizer=_growing(make, rates), num_steps=num_steps)
    errors = np.asarray(jax.jit(functools.partial(map_datapoints, lambda w, d: one(w, d).mse))(weights, datapoints))
    with np.errstate(over='ignore', divide='ignore'):
        logs = np.log(errors.astype(np.float64)).mean(axis=0)
    logs[np.maximum.accumulate(~np.isfinite(logs))] = np.inf
    return RateRange(rates, np.exp(logs[1:]), _steepest(rates, logs))


def _growing(
    make: Callable[[float | Array], optax.GradientTransformation], rates: np.ndarray
) -> optax.GradientTransformation:
    """Return the optimiser whose k-th update is that of ``make(rates[k])``."""

    def init(flat: Array) -> tuple[Array, optax.OptState]:
        return jnp.int32(0), make(rates[0]).init(flat)

    def update(
        gradient: Array, state: tuple[Array, optax.OptState], params: Array | None = None, **told: Any
    ) -> tuple[Array, tuple[Array, optax.OptState]]:
        step, inner = state
        optimizer = optax.with_extra_args_support(make(jnp.asarray(rates, jnp.float32)[step]))
        updates, inner = optimizer.update(gradient, inner, params, **told)
        return updates, (step + 1, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _steepest(rates: np.ndarray, logs: np.ndarray) -> float:
    """Return the rate with the steepest slope, over windows of a tenth of the steps that end before the minimum."""
    lowest = int(np.argmin(logs))
    width = max(len(rates) // 10, 2)
    if lowest == 0:
        raise InputError('no rate of the range lowers the error; choose a smaller `lowest`, or check the data.')
    begins = np.arange(max(lowest - width, 0) + 1)
    ends = np.minimum(begins + width, lowest)
    slopes = (logs[ends] - logs[begins]) / (ends - begins)
    middle = (begins + ends - 1) // 2
    return float(rates[middle[int(np.argmin(slopes))]])
