"""Photographs and other pictures: two axes, rows before columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.files.image_files import SUFFIXES
from hyperinr.files.images import quantise, read_image, write_picture
from hyperinr.kinds.base import Kind, Signal

__all__ = ['IMAGE']


def _read(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Signal:
    del spacing  # A picture has no unit of length: it is resized, if at all, to a number of pixels.
    found = read_image(path, 3 if channels is None else channels, data_range)
    return Signal(found.image, (0.0, 1.0), {'file_range': list(found.values.range)}, tuple(found.notes))


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    low, high = metadata['data_range']
    write_picture(path, quantise(np.clip((values - low) / (high - low), 0, 1)))


IMAGE = Kind('image', SUFFIXES, '.png', _read, _write, num_axes=2)
"""Values in [0, 1]; files of `hyperinr.files.image_files.KINDS`, written as 8-bit PNG."""
