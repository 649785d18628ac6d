"""Outer losses of a datapoint, and choices of the adaptation steps after which they are measured."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from hyperinr import metrics
from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.types import Array, Datapoint

__all__ = ['Loss', 'LossSteps', 'every_step', 'last_step', 'log_mse', 'mse']

Loss = Callable[[Array, Datapoint], Array]
"""``(predicted [N, C], target) -> []``: the distance of one INR's values from the N points of its target, both in units
of the data range."""
LossSteps = Callable[[int], Sequence[int]]
"""``(K) -> steps``: increasing step counts in [0, K]. The outer loss is the mean of the losses after these steps."""


def mse() -> Loss:
    """Return the weighted mean squared error."""
    return lambda predicted, target: metrics.mean_squared_error(predicted, target.values, target.weight)


@checked
def log_mse(*, floor: float = 1e-8) -> Loss:
    """Return the logarithm of `mse`, which is minus the PSNR up to a factor and a constant.

    Easy signals count as much as hard ones in it.

    Args:
      floor: added to the error, in squared units of the data range, > 0.

    Raises:
      ValueError: a floor that is not positive.
    """
    check_positive('log_mse', floor=floor)
    error = mse()
    return lambda predicted, target: jnp.log(error(predicted, target) + floor)


def last_step() -> LossSteps:
    """Measure the loss after the last step only."""
    return lambda num_steps: (num_steps,)


def every_step() -> LossSteps:
    """Measure the loss at the start and after every step.

    Antoniou, Edwards and Storkey, "How to train your MAML" (2019): its multi-step loss, with equal weights.
    """
    return lambda num_steps: tuple(range(num_steps + 1))
