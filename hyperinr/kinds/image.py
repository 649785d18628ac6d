"""Photographs and other pictures: two axes, rows before columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.image_files import SUFFIXES
from hyperinr.files.images import read_image, write_picture
from hyperinr.files.refusals import encoding
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.values import as_type, file_values

__all__ = ['IMAGE', 'pixels_of']


def _read(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Signal:
    del spacing  # A picture has no unit of length: it is resized, if at all, to a number of pixels.
    found = read_image(path, channels, data_range)
    metadata = {'file_range': list(found.values.range), 'dtype': found.values.type}
    return Signal(found.image, (0.0, 1.0), metadata, tuple(found.notes))


def pixels_of(values: np.ndarray, metadata: Mapping[str, Any], *, deepest: str) -> np.ndarray:
    """Return ``[*grid, C]`` as whole numbers: those of the file, if it held uint8 or, with 'uint16', that; else all.

    Args:
      values: see `hyperinr.kinds.base.Write`.
      metadata: with the ``dtype`` of the file.
      deepest: ``'uint8'`` or ``'uint16'``, the type of what does not come from such a file.
    """
    kind, file_range = metadata.get('dtype', 'uint8'), metadata.get('file_range')
    if kind not in ('uint8', deepest):
        kind, file_range = 'uint8' if kind == 'bool' else deepest, None
    full = (0, np.iinfo(kind).max)
    pixels = as_type(file_values(values, {**metadata, 'file_range': file_range or full}), kind)
    if values.shape[-1] in (2, 4):  # The range is that of the colours.
        pixels[..., -1:] = as_type(file_values(values[..., -1:], {**metadata, 'file_range': full}), kind)
    return pixels


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    with encoding(path, 'an image'):
        if values.ndim != 3 or not 1 <= values.shape[-1] <= 4:
            raise InputError(f'{path}: a PNG has 1 to 4 channels, not values of shape {values.shape}; use --as array.')
        pixels = pixels_of(values, metadata, deepest='uint16')
    write_picture(path, pixels)


IMAGE = Kind('image', SUFFIXES, '.png', _read, _write, num_axes=2)
"""Values in [0, 1]; files of `hyperinr.files.image_files.KINDS`. Alpha is read on request, as channel 2 or 4.

Written as PNG of 8 or 16 bits, as the file's were, and in the file's own numbers; of 16 bits for a file of floats or
wider integers, whose range fills them.
"""
