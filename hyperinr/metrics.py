"""Errors of a reconstruction against its signal. The range of the data is always an argument, never a guess."""

import contextlib

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.types import Array

__all__ = ['MOST_DB', 'intersection_over_union', 'mean_squared_error', 'psnr_from_mse', 'psnr', 'ssim']

MOST_DB = 300.0
"""PSNR that stands for an error of 0, so that files hold finite numbers. The best fits in docs/results have 168 dB."""


@checked
def mean_squared_error(predicted: Array, values: Array, weight: Array | None = None) -> Array:
    """Compute the weighted mean of the squared error over points, averaged over channels.

    Args:
      predicted: ``[..., N, C]``.
      values: ``[..., N, C]``.
      weight: ``[..., N]`` >= 0; ``None`` weighs all points alike. Predictions and values at weight 0 may be anything.

    Returns:
      ``[...]``; NaN where all weights are 0.
    """
    _check_shapes(predicted, values, weight)
    difference = jnp.subtract(predicted, values)
    if weight is not None:
        difference = jnp.where(jnp.asarray(weight)[..., None] > 0, difference, 0)
    per_point = jnp.mean(jnp.square(difference), axis=-1)
    if weight is None:
        return jnp.mean(per_point, axis=-1)
    return jnp.sum(per_point * weight, axis=-1) / jnp.sum(weight, axis=-1)


def _check_shapes(predicted: Array, values: Array, weight: Array | None) -> None:
    """Raise `InputError` unless the arrays are ``[..., C]``, ``[..., C]`` and ``[...]``, up to broadcasting."""
    shapes = [np.shape(predicted), np.shape(values)] + ([] if weight is None else [(*np.shape(weight), 1)])
    with contextlib.suppress(ValueError):
        if {len(shape) for shape in shapes} == {len(shapes[0])} and len(shapes[0]) > 1:
            np.broadcast_shapes(*shapes)
            return
    found = 'None' if weight is None else f'{np.shape(weight)}'
    raise InputError(
        f'predicted {shapes[0]}, values {shapes[1]} and weight {found} must be [..., N, C], [..., N, C] and [..., N].'
    )


@checked
def psnr_from_mse(mse: Array, data_range: tuple[float, float]) -> Array:
    """Compute the peak signal-to-noise ratio in dB, ``10 log10((high - low)^2 / mse)``, at most `MOST_DB`.

    Example:
      >>> round(float(psnr_from_mse(0.01, (0.0, 1.0))), 4)
      20.0
    """
    low, high = data_range
    return jnp.minimum(20 * jnp.log10(high - low) - 10 * jnp.log10(mse), MOST_DB)


@checked
def psnr(predicted: Array, values: Array, weight: Array | None = None, *, data_range: tuple[float, float]) -> Array:
    """Compute `psnr_from_mse` of `mean_squared_error`; ``[..., N, C]`` -> ``[...]`` dB."""
    return psnr_from_mse(mean_squared_error(predicted, values, weight), data_range)


@checked
def intersection_over_union(first: Array, second: Array, weight: Array | None = None) -> Array:
    """Divide the weight of the points in both sets by the weight of the points in either; 1 if both sets are empty.

    Args:
      first: ``[..., N]`` bool.
      second: ``[..., N]`` bool.
      weight: ``[..., N]`` >= 0, e.g. one over the density of the points; ``None``: 1.

    Returns:
      ``[...]`` in [0, 1].

    Example:
      >>> float(intersection_over_union(jnp.array([True, True, False, False]), jnp.array([False, True, False, False])))
      0.5
    """
    scale = jnp.float32(1) if weight is None else weight
    both = jnp.sum(scale * (first & second), axis=-1)
    either = jnp.sum(scale * (first | second), axis=-1)
    return jnp.where(either > 0, both / jnp.where(either > 0, either, 1), 1.0)


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
    _check_shapes(predicted, values, weight)
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
