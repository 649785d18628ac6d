"""NumPy arrays of one to four axes, beside that of channels: whatever has been made a grid of numbers elsewhere."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.arrays import read_npy, read_npz, write_npy
from hyperinr.files.limits import check_pixels
from hyperinr.files.refusals import encoding
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.resampling import resampled
from hyperinr.kinds.values import as_type, check_spacing, file_values, mapped
from hyperinr.runtime.files import check_regular

__all__ = ['ARRAY']

MOST_AXES = 4
USUAL_CHANNELS = 4
"""An array of more on its last axis is a grid of one channel, unless its channels are given."""


def _read(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Signal:
    check_regular(path, 'array file')

    def check(shape: tuple[int, ...]) -> None:
        check_pixels(path, math.prod(shape), 'values')

    array = read_npz(path) if path.suffix.lower() == '.npz' else read_npy(path, check)
    check(array.shape)
    shape, kind, notes = array.shape, array.dtype.name, []
    has_channels = len(shape) > 1 and (shape[-1] == channels if channels else shape[-1] <= USUAL_CHANNELS)
    if not has_channels:
        array = array[..., None]
    if array.shape[-1] != (channels or array.shape[-1]) or not 1 <= array.ndim - 1 <= MOST_AXES:
        wanted = f'[*grid, {channels or "C"}] with 1 to {MOST_AXES} axes of the grid'
        raise InputError(f'{str(path)!r} has shape {shape}; an array is {wanted}, or [*grid] with 1 channel.')
    if channels is None and len(shape) > 1 and not has_channels:
        notes.append(f'shape {shape} read as a grid of one channel; --channels {shape[-1]} takes the last axis for it')
    found = mapped(array, data_range, path, by_type=True)
    metadata: dict[str, Any] = {'file_range': list(found.file_range), 'dtype': kind, 'has_channels': has_channels}
    values, weight = found.values, found.weight
    if spacing := check_spacing(spacing, values.ndim - 1, 'in samples of the file along each axis'):
        grid = tuple(max(1, round(n / each)) for n, each in zip(values.shape[:-1], spacing, strict=True))
        values = resampled(values, grid, path)
        weight = None if weight is None else resampled(weight[..., None], grid, path)[..., 0]
    return Signal(values, (0.0, 1.0), metadata, (*notes, *found.notes), weight=weight)


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    with encoding(path, 'an array'):
        array = as_type(file_values(values, metadata), metadata.get('dtype', 'float32'))
        kept = array if metadata.get('has_channels', True) else array.reshape(array.shape[:-1])
    write_npy(path, kept)


ARRAY = Kind('array', ('.npy', '.npz'), '.npy', _read, _write, num_axes=None)
"""Values in [0, 1], axes as in the file, the last one channels; written as ``.npy`` in the type of the file.

``channels=1`` reads an array without an axis of channels. ``spacing`` is in samples of the file.
"""
