"""Resampling of a signal on a grid of pixel centres to another number of samples."""

from collections.abc import Sequence

import jax
import numpy as np

from hyperinr.arguments import check_positive
from hyperinr.errors import InputError
from hyperinr.files.images import resize

__all__ = ['resample']


def resample(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resample with the Lanczos filter (3 lobes), which is widened along axes that shrink, to prevent aliasing.

    Args:
      values: ``[*grid, C]`` floating point.
      shape: samples along each axis afterwards.

    Returns:
      ``[*shape, C]`` float32 within the range of ``values`` (the filter's overshoot is clipped).

    Raises:
      InputError: another number of axes, or a size below 1.
    """
    shape = tuple(shape)
    if values.shape[:-1] == shape:
        return values.astype(np.float32)
    if len(shape) != values.ndim - 1:
        raise InputError(f'a signal of {values.ndim - 1} axes cannot be resampled to {shape}.')
    if len(shape) == 2:
        return resize(values, shape)
    check_positive('resampling', shape=shape)
    found = np.asarray(jax.image.resize(values, (*shape, values.shape[-1]), 'lanczos3', antialias=True), np.float32)
    return np.clip(found, values.min(), values.max())
