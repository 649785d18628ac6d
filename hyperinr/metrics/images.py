"""The error of an image as people see it."""

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.metrics.points import check_shapes
from hyperinr.types import Array

__all__ = ['ssim']


@checked
def ssim(
    predicted: Array,
    values: Array,
    weight: Array | None = None,
    *,
    data_range: tuple[float, float],
    window_size: int = 11,
    sigma: float = 1.5,
) -> Array:
    """Compute the structural similarity of two images, averaged over valid windows and channels.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity"
    (2004), eq. 13, with its 11 x 11 Gaussian window of sigma 1.5, K1 = 0.01 and K2 = 0.03.

    Args:
      predicted: ``[H, W, C]``, H and W at least ``window_size``.
      values: ``[H, W, C]``.
      weight: ``[H, W]``; windows that hold a pixel of weight 0 are left out. ``None``: all windows count.
      data_range: ``(low, high)``.
      window_size: pixels, odd.
      sigma: standard deviation of the window, pixels.

    Returns:
      ``[]`` in [-1, 1]; 1 for equal images; NaN if no window is left.

    Raises:
      ValueError: an image smaller than the window.
    """
    check_shapes(predicted, values, weight)
    if np.ndim(values) != 3 or np.ndim(predicted) != 3 or window_size < 1 or window_size % 2 == 0 or sigma <= 0:
        raise InputError(
            f'SSIM needs images [H, W, C], an odd window and a positive sigma, not {np.shape(values)}, '
            f'{window_size=} and {sigma=}.'
        )
    if min(values.shape[:2]) < window_size:
        raise ValueError(f'SSIM needs images of at least {window_size} x {window_size} pixels, not {values.shape[:2]}.')
    low, high = data_range
    counts = jnp.full(values.shape[:2], True) if weight is None else jnp.asarray(weight) > 0
    shifted = (jnp.where(counts[..., None], jnp.asarray(image, jnp.float32) - low, 0) for image in (predicted, values))
    windows = dm_pix.ssim(*shifted, max_val=high - low, filter_size=window_size, filter_sigma=sigma, return_map=True)
    whole = jax.lax.reduce_window(counts, True, jax.lax.bitwise_and, (window_size, window_size), (1, 1), 'valid')
    return jnp.mean(windows, axis=-1).mean(where=whole)
