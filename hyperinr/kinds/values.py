"""From the values of a file, in its own units, to those of a signal in a small range, and back.

Letters as in `hyperinr.types`; ``*grid`` are the sizes of a signal's axes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.file_values import check_data_range, shown
from hyperinr.files.image_files import LEVELS

__all__ = ['Mapped', 'as_type', 'check_spacing', 'file_values', 'mapped']

UNIT = (0.0, 1.0)
FINEST = 1e-12
"""Smallest spacing, in any unit, so that no number of samples is infinite."""


class Mapped(NamedTuple):
    """Values of a file as values of a signal.

    Attributes:
      values: ``[*grid, C]`` float32 in the signal's range.
      weight: ``[*grid]`` float32, 0 where the file has no finite value, else 1; ``None``: every value is finite.
      file_range: values of the file at the ends of the signal's range.
      notes: conversions, in words.
    """

    values: np.ndarray
    weight: np.ndarray | None
    file_range: tuple[float, float]
    notes: tuple[str, ...]


def mapped(
    array: np.ndarray,
    data_range: tuple[float, float] | None,
    path: Path,
    *,
    ends: tuple[float, float] = UNIT,
    by_type: bool = False,
) -> Mapped:
    """Map values of any real type to ``ends``; values outside ``data_range`` are clipped.

    Args:
      array: ``[*grid, C]``. A point with a value that is not finite gets weight 0 and the low end.
      data_range: values that become the ends. ``None``: the least and the greatest value.
      path: the file, for messages.
      ends: the range of the signal.
      by_type: the range is that of the type, where it has one: `LEVELS`, and ``ends`` for floats that lie within.

    Raises:
      InputError: no real numbers, no values, none that is finite, or a wrong ``data_range``.
    """
    data_range = check_data_range('the data range', data_range)
    if array.dtype.kind not in 'biuf':
        raise InputError(f'{str(path)!r} holds {array.dtype.name}, which are no real numbers; save integers or floats.')
    if array.size == 0:
        raise InputError(f'{str(path)!r} holds no values (its shape is {array.shape}); leave it out.')
    finite = np.isfinite(array) if array.dtype.kind == 'f' else np.ones((), bool)
    known = array if finite.all() else array[finite]
    if known.size == 0:
        raise InputError(f'{str(path)!r} holds no finite value; leave it out.')
    lowest, highest = float(known.min()), float(known.max())
    notes: list[str] = []
    weight: np.ndarray | None = None
    if data_range is not None:
        low, high = data_range
        if clipped := int(np.count_nonzero((known < low) | (known > high))):
            notes.append(f'{clipped} values outside {shown(low)} to {shown(high)} clipped')
    elif by_type and array.dtype.name in LEVELS:
        low, high = 0.0, float(LEVELS[array.dtype.name])
    elif by_type and array.dtype.kind == 'f' and ends[0] <= lowest and highest <= ends[1]:
        low, high = ends
    else:
        low, high = (lowest, highest) if lowest < highest else (min(lowest, 0.0), max(highest, 1.0))
        check_data_range(f'the range of the values of {str(path)!r}', (low, high))
        notes.append(f'values from {shown(lowest)} to {shown(highest)} mapped to [{shown(ends[0])}, {shown(ends[1])}]')
    if known is not array:
        has_values = finite.all(axis=-1)
        weight = np.asarray(has_values, np.float32)
        notes.append(f'{np.count_nonzero(~has_values)} points without a finite value get weight 0')
        array = np.where(finite, array, low)
    # float32 holds integers of 24 bits, so that those of 16 bits need no float64.
    wide = np.float32 if array.dtype.itemsize <= 2 and array.dtype.kind != 'f' else np.float64
    values: Any = array.astype(wide)
    values -= low
    values /= high - low
    np.clip(values, 0, 1, out=values)
    values *= ends[1] - ends[0]
    values += ends[0]
    return Mapped(values.astype(np.float32, copy=False), weight, (low, high), tuple(notes))


def file_values(values: np.ndarray, metadata: Mapping[str, Any]) -> np.ndarray:
    """Return the file's values of a signal's, ``[*grid, C]`` float64: the inverse of `mapped`; clipped to its range.

    Args:
      values: ``[*grid, C]``.
      metadata: with ``data_range``, and ``file_range`` if the two differ: a pair, or a pair for each channel.
    """
    low, high = map(float, metadata['data_range'])
    ends = np.asarray(metadata.get('file_range', (low, high)), np.float64)
    if not (ends.shape in ((2,), (values.shape[-1], 2)) and np.isfinite(ends).all() and low < high):
        raise ValueError(f'file_range {_shown_range(ends)} of {values.shape[-1]} channels')
    unit = (np.clip(np.asarray(values, np.float64), low, high) - low) / (high - low)
    found: np.ndarray = ends[..., 0] + unit * (ends[..., 1] - ends[..., 0])
    if not np.isfinite(found).all():
        raise ValueError('values that are not finite')
    return found


def _shown_range(ends: np.ndarray) -> str:
    return ' '.join(str(ends.tolist()).split())[:60]


def as_type(values: np.ndarray, name: str) -> np.ndarray:
    """Return values as another type, by its name; of integers, the nearest one that the type holds."""
    kind = np.dtype(name)
    if kind.kind == 'f':
        return values.astype(kind)
    if kind.kind == 'b':
        return values >= 0.5
    if kind.kind not in 'iu':
        raise ValueError(f'values of type {name}')
    bounds = np.iinfo(kind)
    # As float64, the greatest 64-bit integer rounds up to one that does not fit.
    most = bounds.max if kind.itemsize < 8 else np.nextafter(float(bounds.max), 0)
    return np.clip(np.rint(values), bounds.min, most).astype(kind)


def check_spacing(spacing: Sequence[float] | None, num_axes: int, what: str) -> tuple[float, ...] | None:
    """Return ``spacing`` as floats; ``None`` stays ``None``.

    Raises:
      InputError: not one finite number > `FINEST` for each axis.
    """
    if spacing is None:
        return None
    try:
        found = tuple(map(float, spacing))
    except (TypeError, ValueError):
        found = ()
    if len(found) != num_axes or not all(FINEST < each < 1 / FINEST for each in found):
        raise InputError(f'spacing must be {num_axes} finite number(s) > {FINEST:g}, {what}, not {spacing}.')
    return found
