"""The values of image files, and the range of them that is mapped to [0, 1]."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.image_files import LEVELS

__all__ = ['FileValues', 'check_data_range', 'scale']

DARK = 0.25
"""Fraction of the largest possible value below which all values are taken for those of a type with fewer bits."""


class FileValues(NamedTuple):
    """The values of one or more files, and how they became values in [0, 1].

    Attributes:
      type: type of the values: ``'uint8'``, ``'float32'``, ...
      lowest, highest: the least and the greatest value.
      range: ``(LOW, HIGH)``, which became 0 and 1.
      given: whether the user gave this range.
      num_clipped: number of values outside the range.
    """

    type: str
    lowest: float
    highest: float
    range: tuple[float, float]
    given: bool
    num_clipped: int

    def joined(self, other: 'FileValues') -> 'FileValues':
        """Return the values of both, which are of one type."""
        return self._replace(
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
            num_clipped=self.num_clipped + other.num_clipped,
        )

    def note(self, option: str = '--data-range {low},{high}') -> str | None:
        """Return what a user should know of the range; ``None`` for 8-bit values and floats in the usual range.

        Args:
          option: how a range is given, with ``{low}`` and ``{high}``.
        """
        low, high = map(shown, self.range)
        named = {'uint8': '8-bit', 'uint16': '16-bit'}.get(self.type, self.type)
        found = f'{named} values from {shown(self.lowest)} to {shown(self.highest)}'
        if self.given:
            clipped = f'; {self.num_clipped} values clipped' if self.num_clipped else ''
            return f'{found}, {low} to {high} mapped to [0, 1]{clipped}'
        if self.type != 'uint16':
            return None
        likely = 2 ** int(self.highest).bit_length() - 1
        if 0 < self.highest < DARK * self.range[1]:
            better = f'{option.format(low=0, high=likely)} scales by {likely}'
            return f'{found} scaled by {high}, so the image is dark; {better}'
        return f'{found} scaled by {high}'


def shown(number: float) -> str:
    return f'{number:.0f}' if float(number).is_integer() and abs(number) < 1e15 else f'{number:g}'


def check_data_range(name: str, data_range: Any) -> tuple[float, float] | None:
    """Return ``(LOW, HIGH)`` as floats; ``None`` stays ``None``.

    Raises:
      InputError: not two finite numbers with LOW below HIGH.
    """
    if data_range is None:
        return None
    parts = data_range if isinstance(data_range, Sequence) and not isinstance(data_range, str) else [data_range]
    try:
        low, high = map(float, parts)
    except (TypeError, ValueError):
        low = high = math.nan
    # Values are float32: a range beyond it, or too narrow for it, maps nothing.
    if not (max(abs(low), abs(high)) < 1e38 and high - low > 1e-37):
        wrong = ','.join(map(str, parts))
        raise InputError(
            f'{name} must be two finite numbers LOW,HIGH with LOW below HIGH, such as 0,4095, not {wrong}.'
        )
    return low, high


def scale(values: np.ndarray, data_range: tuple[float, float] | None, path: str) -> tuple[np.ndarray, FileValues]:
    """Map values to float32 in [0, 1], clipped.

    Args:
      values: of any real type.
      data_range: the range that becomes [0, 1]; ``None``: that of the type, or [0, 1] for floats.
      path: the file, for messages.

    Raises:
      InputError: NaN, no numbers, or values that need a ``data_range`` and have none.
    """
    kind = values.dtype.name
    real = np.issubdtype(values.dtype, np.floating)
    if kind not in LEVELS and not real and not np.issubdtype(values.dtype, np.integer):
        raise InputError(f'{path!r} holds {kind}, which are no values of an image; save integers or floats.')
    if real and not np.isfinite(values).all():
        raise InputError(f'{path!r} holds NaN or infinite values; replace them before using it.')
    lowest, highest = float(values.min()), float(values.max())
    low, high = data_range or (0.0, float(LEVELS.get(kind, 1)))
    if data_range is None and kind not in LEVELS and not (real and lowest >= 0 and highest <= 1):
        ends = f'{shown(lowest)},{shown(highest if highest > lowest else lowest + 1)}'
        give = f'give their range, --data-range{"=" if lowest < 0 else " "}{ends} (image_folder.data_range of a folder)'
        if real:
            raise InputError(
                f'{path!r} holds values from {shown(lowest)} to {shown(highest)}; scale them to [0, 1], or {give}.'
            )
        raise InputError(f'{path!r} holds {kind}, which has no stated range; save uint8 or uint16, or {give}.')
    clipped = int(np.count_nonzero((values < low) | (values > high))) if lowest < low or highest > high else 0
    # Integers of at most 16 bits are exact as float32.
    wide: np.ndarray = np.asarray(values, np.float32 if kind in LEVELS else np.float64)
    unit = (wide - low if low else wide) / (high - low)
    scaled = (np.clip(unit, 0, 1) if clipped else unit).astype(np.float32, copy=False)
    return scaled, FileValues(kind, lowest, highest, (low, high), data_range is not None, clipped)
