"""Figures beside PSNR that suit a kind of signal: SSIM of images, decibels of sounds, overlap of solids.

To add one: a `Figure`, its name in `BY_KIND`.

Letters: ``S`` reconstructions of one datapoint, ``*grid`` the axes of its grid, ``C`` channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from hyperinr import coordinates, metrics
from hyperinr.kinds.solids import is_solid, level_of
from hyperinr.types import Array, DatasetSpec

__all__ = ['FIGURES', 'Figure', 'figures_of', 'masked_ssim']

SSIM_WINDOW = 11
FRAME = 256
"""Samples of a frame of `metrics.log_spectral_distance`: 32 ms of speech at 8 kHz."""


class Figure(NamedTuple):
    """A figure of reconstructions.

    Attributes:
      label: its name in tables.
      places: format of its numbers in tables.
      meaning: what it is, in words, for reports.
      measure: ``(values [S, *grid, C], original [*grid, C], weight [*grid], spec) -> [S]``; NaN where not defined.
    """

    label: str
    places: str
    meaning: str
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray, DatasetSpec], np.ndarray]


@jax.jit
def masked_ssim(images: Array, original: Array, weight: Array, *, data_range: tuple[float, float]) -> Array:
    """Compute the SSIM of reconstructions of one image over the windows in which all pixels have a positive weight.

    Args:
      images: ``[S, H, W, C]``, H and W at least 11 pixels.
      original: ``[H, W, C]``.
      weight: ``[H, W]``.
      data_range: ``(low, high)``.

    Returns:
      ``[S]``, NaN if there is no such window.
    """
    return jax.vmap(lambda image: metrics.ssim(image, original, weight, data_range=data_range))(images)


def _ssim(values: np.ndarray, original: np.ndarray, weight: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Measure images, or the frames or slices along axis 0 of a grid of three axes and average them."""
    if min(original.shape[-3:-1]) < SSIM_WINDOW:
        return np.full(len(values), np.nan)
    if original.ndim == 3:
        return np.asarray(masked_ssim(values, original, weight, data_range=spec.data_range))
    frames = [_ssim(values[:, row], original[row], weight[row], spec) for row in range(len(original))]
    known = [each for each in frames if np.isfinite(each).all()]
    return np.mean(known, axis=0) if known else np.full(len(values), np.nan)


def _alike(values: np.ndarray, original: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the original and its weights, repeated for each reconstruction."""
    return np.broadcast_to(original, values.shape), np.broadcast_to(weight, values.shape[:-1])


def _snr(values: np.ndarray, original: np.ndarray, weight: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    silence = sum(spec.data_range) / 2
    original, weight = _alike(values, original, weight)
    return np.asarray(metrics.signal_to_noise_ratio(values - silence, original - silence, weight))


def _log_spectral(values: np.ndarray, original: np.ndarray, weight: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    if len(original) < FRAME:
        return np.full(len(values), np.nan)
    alike, _ = _alike(values, original, weight)
    return metrics.log_spectral_distance(values, alike, weight, data_range=spec.data_range, frame_size=FRAME)


def _iou(values: np.ndarray, original: np.ndarray, weight: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    inside = level_of(spec).inside
    original, weight = _alike(values, original, weight)
    flat = (np.reshape(each, (len(values), -1)) for each in (inside(values), inside(original), weight))
    return np.asarray(metrics.intersection_over_union(*flat))


def _rmse(values: np.ndarray, original: np.ndarray, weight: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    (low, high), (least, most) = spec.source_range or spec.data_range, spec.data_range
    found = metrics.latitude_weighted_rmse(values, *_alike(values, original, weight))
    return np.asarray(found) * (high - low) / (most - least)


FIGURES = {
    'ssim': Figure(
        'SSIM',
        '.3f',
        'within the part of the grid that is not padding, values not clipped; mean over frames or slices',
        _ssim,
    ),
    'snr_db': Figure('SNR (dB)', '.2f', 'power of the signal over the power of its error', _snr),
    'log_spectral_distance_db': Figure(
        'LSD (dB)',
        '.2f',
        f'of levels of at least -80 dB in Hann frames of {FRAME} samples',
        _log_spectral,
    ),
    'iou': Figure('IoU', '.4f', 'intersection over union of the solids, by volume', _iou),
    'rmse': Figure('RMSE', '.4g', 'weighted by the cosine of latitude, in units of source_range if stated', _rmse),
}
"""Key in a report -> figure."""
BY_KIND = {
    'image': ('ssim',),
    'video': ('ssim',),
    'volume': ('ssim',),
    'sound': ('snr_db', 'log_spectral_distance_db'),
    'field': (),
}
"""Kind on a grid of pixel centres -> keys of `FIGURES`."""


def figures_of(spec: DatasetSpec) -> dict[str, Figure]:
    """Return the figures that suit the data, by key.

    Solids have their IoU, wherever their points lie; of all else scattered points have none. A grid on the sphere has
    the weighted error, any other what `BY_KIND` says; without a kind, two axes are taken for an image.
    """
    if is_solid(spec):
        names: tuple[str, ...] = ('iou',)
    elif spec.grid_shape is None:
        names = ()
    elif spec.layout == coordinates.SPHERE:
        names = ('rmse',)
    else:
        names = BY_KIND.get(spec.kind or '', ('ssim',) if len(spec.grid_shape) == 2 else ())
    return {name: FIGURES[name] for name in names}
