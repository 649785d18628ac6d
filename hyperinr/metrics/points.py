"""Errors at any points, in any number of dimensions."""

import contextlib

import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.types import Array

__all__ = ['MOST_DB', 'check_shapes', 'mean_squared_error', 'psnr', 'psnr_from_mse', 'signal_to_noise_ratio']

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
    check_shapes(predicted, values, weight)
    difference = jnp.subtract(predicted, values)
    if weight is not None:
        difference = jnp.where(jnp.asarray(weight)[..., None] > 0, difference, 0)
    per_point = jnp.mean(jnp.square(difference), axis=-1)
    if weight is None:
        return jnp.mean(per_point, axis=-1)
    return jnp.sum(per_point * weight, axis=-1) / jnp.sum(weight, axis=-1)


def check_shapes(predicted: Array, values: Array, weight: Array | None) -> None:
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
def signal_to_noise_ratio(predicted: Array, values: Array, weight: Array | None = None) -> Array:
    """Compute ``10 log10(sum of values^2 / sum of errors^2)`` in dB, at most `MOST_DB`.

    Args:
      predicted, values, weight: as for `mean_squared_error`; silence is 0.

    Returns:
      ``[...]``; of a silent signal 300 dB if the reconstruction is exact, else minus infinity.

    Example:
      >>> round(float(signal_to_noise_ratio(jnp.array([[0.9], [-0.9]]), jnp.array([[1.0], [-1.0]]))), 4)
      20.0
    """
    power = mean_squared_error(jnp.zeros(jnp.shape(values)), values, weight)
    noise = mean_squared_error(predicted, values, weight)
    ratio = 10 * (jnp.log10(power) - jnp.log10(noise))
    return jnp.where(noise > 0, jnp.minimum(ratio, MOST_DB), MOST_DB)
