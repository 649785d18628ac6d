"""The error of a sound as people hear it: in the logarithm of its short-time spectra."""

import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.metrics.points import check_shapes

__all__ = ['log_spectral_distance', 'spectra_db']

FLOOR_DB = -80.0
"""Level below which two spectra count as equal: below the noise of most recordings, and 16 dB above that of 16 bits."""


@checked
def spectra_db(
    values: np.ndarray, data_range: tuple[float, float], frame_size: int = 256, hop_size: int | None = None
) -> np.ndarray:
    """Return the level of each frame at each frequency, at least `FLOOR_DB`; a sine that fills the range has 0 dB.

    Frames are multiplied by a Hann window. Only whole frames are taken.

    Args:
      values: ``[..., N]``, N >= ``frame_size``.
      data_range: ``(low, high)``; silence lies in the middle.
      frame_size: samples of a frame, >= 2; 256 are 32 ms at 8 kHz.
      hop_size: samples from one frame to the next; ``None``: a quarter of a frame.

    Returns:
      ``[..., frames, frame_size // 2 + 1]`` dB, frequencies from 0 to half the sampling rate; NaN in frames with values
      that are not finite.

    Raises:
      InputError: fewer samples than a frame has, or a wrong size.
    """
    hop_size = max(1, frame_size // 4) if hop_size is None else hop_size
    low, high = data_range
    if frame_size < 2 or hop_size < 1 or np.ndim(values) < 1 or np.shape(values)[-1] < frame_size or not low < high:
        raise InputError(
            f'spectra need at least one frame of at least 2 samples and a range (low, high), not {frame_size=}, '
            f'{hop_size=}, values {np.shape(values)} and {data_range=}.'
        )
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_size) / frame_size)
    centred = (np.asarray(values, np.float64) - (low + high) / 2) / ((high - low) / 2)
    frames = np.lib.stride_tricks.sliding_window_view(centred, frame_size, axis=-1)[..., ::hop_size, :]
    with np.errstate(invalid='ignore', over='ignore'):  # Of values that are not finite the level is NaN.
        amplitude = np.abs(np.fft.rfft(frames * window, axis=-1)) / (window.sum() / 2)
    return 20 * np.log10(np.maximum(amplitude, 10 ** (FLOOR_DB / 20)))


@checked
def log_spectral_distance(
    predicted: np.ndarray,
    values: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    data_range: tuple[float, float],
    frame_size: int = 256,
    hop_size: int | None = None,
) -> np.ndarray:
    """Compute the root mean square difference of `spectra_db` over frequencies, averaged over frames and channels.

    The "rms log spectral distance" of Gray and Markel, "Distance measures for speech processing" (1976), of levels of
    at least -80 dB. Without a floor silence would decide.

    Args:
      predicted: ``[..., N, C]``.
      values: ``[..., N, C]``.
      weight: ``[N]``; frames that hold a sample of weight 0 are left out. ``None``: all frames count.
      data_range: ``(low, high)``; silence lies in the middle.
      frame_size, hop_size: as for `spectra_db`.

    Returns:
      ``[...]`` dB, 0 for equal sounds; NaN if no frame is left.

    Raises:
      InputError: as `spectra_db`, or shapes that do not fit.
    """
    check_shapes(predicted, values, None)
    if weight is not None and np.shape(weight) != np.shape(values)[-2:-1]:
        raise InputError(f'weight {np.shape(weight)} must be [N], one for each sample of values {np.shape(values)}.')
    counts = np.full(values.shape[-2], True) if weight is None else np.asarray(weight) > 0
    levels = [
        spectra_db(np.moveaxis(np.where(counts[:, None], each, 0), -1, -2), data_range, frame_size, hop_size)
        for each in (predicted, values)
    ]
    hop_size = max(1, frame_size // 4) if hop_size is None else hop_size
    whole = np.lib.stride_tricks.sliding_window_view(counts, frame_size)[::hop_size].all(axis=-1)
    if not whole.any():
        return np.full(np.broadcast_shapes(predicted.shape, values.shape)[:-2], np.nan)
    distance = np.sqrt(np.mean(np.square(levels[0] - levels[1]), axis=-1))
    return distance[..., whole].mean(axis=(-2, -1))
