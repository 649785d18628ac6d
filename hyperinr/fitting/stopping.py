"""Stopping criteria of a fit, and the status it ends with."""

import enum
from collections.abc import Callable
from typing import NamedTuple

from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint

__all__ = ['NEVER', 'Goal', 'Status', 'check_target']

NEVER = -1.0
"""The threshold of a fit without a target: a mean squared error that no INR reaches."""


class Status(enum.IntEnum):
    """The status of the fit of one INR.

    Attributes:
      RUNNING: the fit has not ended; never in a finished result.
      OK: the fit reached its target, or had none, and its error is finite.
      MISSED_TARGET: all steps were taken and the target was not reached.
      DIVERGED: the error became NaN or infinite; no further step was taken.
    """

    RUNNING = 0
    OK = 1
    MISSED_TARGET = 2
    DIVERGED = 3


class Goal(NamedTuple):
    """A target that is not a function of the error, checked at intervals on separate evaluation points.

    It is compiled into the fit. To reuse the program, pass the same function again, not an equal one.

    Attributes:
      reached: ``(predicted [M, C], points) -> []`` bool; ``predicted`` are one INR's values at the M evaluation points.
      every: maximum number of steps between two checks, >= 1. The goal is also checked before the first step and after
        the last.
    """

    reached: Callable[[Array, Datapoint], Array]
    every: int


def check_target(target_psnr: float | None, data_range: tuple[float, float] | None) -> float:
    """Return the mean squared error at which an INR stops, ``(high - low)^2 10^(-PSNR / 10)``.

    Args:
      target_psnr: PSNR in dB; ``None``: no target, the result is `NEVER`.
      data_range: ``(low, high)`` of the values; required with a target.

    Raises:
      InputError: a target has no data range, or the range is empty.

    Example:
      >>> round(check_target(20.0, (0.0, 2.0)), 6)
      0.04
    """
    if target_psnr is None:
        return NEVER
    if data_range is None or data_range[1] <= data_range[0]:
        raise InputError(
            f'target_psnr = {target_psnr:g} dB needs the data_range = (low, high) of the values, not {data_range}.'
        )
    return (data_range[1] - data_range[0]) ** 2 * 10 ** (-target_psnr / 10)
