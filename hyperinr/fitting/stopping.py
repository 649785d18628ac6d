"""When an INR is finished, and how it ended."""

import enum
from collections.abc import Callable
from typing import NamedTuple

from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint

__all__ = ['NEVER', 'Goal', 'Status', 'check_target']

NEVER = -1.0
"""A mean squared error that no INR gets down to: the threshold of a fit without a target."""


class Status(enum.IntEnum):
    """How the fit of one INR ended.

    Attributes:
      RUNNING: not yet; never in a finished result.
      OK: its target was reached, or there was none, and its error is finite.
      MISSED_TARGET: all steps were taken and its target was not reached.
      DIVERGED: its error became NaN or infinite; it took no further step.
    """

    RUNNING = 0
    OK = 1
    MISSED_TARGET = 2
    DIVERGED = 3


class Goal(NamedTuple):
    """A target beyond the error, checked now and then on points of its own.

    Compiled into the fit: pass the same function again, not an equal one.

    Attributes:
      reached: ``(predicted [M, C], points) -> []`` bool, from one INR's values at the M points that it is checked on.
      every: most steps between two checks, >= 1; there is one before the first step and one after the last.
    """

    reached: Callable[[Array, Datapoint], Array]
    every: int


def check_target(target_psnr: float | None, data_range: tuple[float, float] | None) -> float:
    """The mean squared error at which an INR stops, ``(high - low)^2 10^(-PSNR / 10)``; `NEVER` without a target.

    Args:
      target_psnr: dB, or ``None``.
      data_range: ``(low, high)`` of the values; needed with a target.

    Raises:
      InputError: a target without a data range, or a range that is empty.

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
