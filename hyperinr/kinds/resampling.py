"""Resampling of a signal on a grid of pixel centres to another number of samples."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.images import resize
from hyperinr.files.limits import check_pixels

__all__ = ['resampled']


def resampled(values: np.ndarray, shape: Sequence[int], path: Path) -> np.ndarray:
    """Resample ``[*grid, C]`` to ``[*shape, C]`` without aliasing, within the range of ``values``.

    Grids of two axes are resampled by the Lanczos filter of `hyperinr.files.images.resize`. Others are linear between
    pixel centres, after a Gaussian where they shrink, whose standard deviation is half of (the factor - 1), as in
    scikit-image's ``resize``.

    Args:
      values: floating point.
      shape: samples along each axis of the grid, >= 1.
      path: the file, for messages.

    Raises:
      InputError: another number of axes, a size below 1, or more samples than `hyperinr.files.limits` allows.
    """
    shape, grid = tuple(shape), values.shape[:-1]
    if shape == grid:
        return values
    if len(shape) != len(grid) or min(shape) < 1:
        raise InputError(f'{str(path)!r} has {grid} samples and cannot be resampled to {shape}.')
    check_pixels(path, math.prod(shape), 'samples')
    if len(shape) == 2:
        return resize(values, shape)
    from scipy import ndimage  # A quarter of a second, which only a few files need.

    widths = [max(0.0, (old / new - 1) / 2) for old, new in zip(grid, shape, strict=True)]
    smooth = ndimage.gaussian_filter(values, (*widths, 0.0), mode='nearest') if any(widths) else values
    factors = [new / old for old, new in zip(grid, shape, strict=True)]
    found: np.ndarray = ndimage.zoom(smooth, (*factors, 1.0), order=1, mode='nearest', grid_mode=True)
    return found
