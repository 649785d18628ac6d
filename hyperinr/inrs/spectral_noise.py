"""SIREN weights with noise that grows with the frequencies of the signal.

Chandravamsi et al., "Spectral bottleneck in sinusoidal representation networks: noise is all you need" (2025). They
call the scheme WINNER and the network SIREN^2.
"""

import math
from collections.abc import Sequence

import jax
import numpy as np

from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.inrs.initialisation import Layer, Rule, sine_weights
from hyperinr.types import Array, Key

__all__ = ['spectral_centroid', 'spectral_noise_weights']


def spectral_centroid(values: Array, grid_shape: Sequence[int]) -> float:
    """Compute the amplitude-weighted mean frequency of a signal on a grid, divided by its Nyquist frequency.

    A frequency is the radius in all D dimensions, and the mean is over all channels. The authors' code transforms along
    the last axis alone, keeps the signal's mean, and averages the centroids of rows and channels.

    Args:
      values: ``[prod(grid_shape), C]``, row-major; each channel's mean is removed.
      grid_shape: samples along each of the D axes.

    Returns:
      A number in [0, 1]; 0 for a constant. Frequencies above Nyquist's (on diagonals) count as Nyquist's.
    """
    signal = np.asarray(values, np.float64).reshape(*grid_shape, -1)
    axes = tuple(range(len(grid_shape)))
    amplitudes = np.abs(np.fft.fftn(signal - signal.mean(axis=axes), axes=axes)).sum(axis=-1)
    frequencies = np.meshgrid(*(np.fft.fftfreq(size) for size in grid_shape), indexing='ij')
    radius = np.minimum(2 * np.sqrt(sum(np.square(each) for each in frequencies)), 1)
    total = amplitudes.sum()
    return float((amplitudes * radius).sum() / total) if total > 1e-12 * max(signal.size, 1) else 0.0


def spectral_noise_weights(
    *, centroid: float, first_noise: float = 50.0, second_noise: float = 0.4, saturation: float = 5.0
) -> Rule:
    """Make the rule `sine_weights` with normally distributed noise on the first two layers.

    The noise has standard deviations ``s_0 / omega`` and ``s_1 / omega``, with ``s_0 = first_noise (1 -
    exp(-saturation c))`` and ``s_1 = second_noise c``. The defaults are the authors' values for images; for audio they
    use 3500, 3 and 7. Their code also divides c by a power of the number of channels.

    Args:
      centroid: c in [0, 1], see `spectral_centroid`.
      first_noise: the limit of s_0, >= 0.
      second_noise: s_1 at c = 1, >= 0.
      saturation: how fast s_0 approaches its limit, > 0.

    Raises:
      ValueError: a value outside its range.
    """
    check_positive('spectral noise', saturation=saturation)
    check_not_negative('spectral noise', first_noise=first_noise, second_noise=second_noise)
    if not 0 <= centroid <= 1:
        raise ValueError(f'spectral noise needs a centroid in [0, 1], not {centroid=}.')
    base = sine_weights()
    scales = (first_noise * (1 - math.exp(-saturation * centroid)), second_noise * centroid)

    def rule(key: Key, layer: Layer) -> Array:
        base_key, noise_key = jax.random.split(key)
        weights = base(base_key, layer)
        if layer.position > 1 or layer.position == layer.depth:
            return weights
        return weights + scales[layer.position] / layer.omega * jax.random.normal(noise_key, weights.shape)

    return rule
