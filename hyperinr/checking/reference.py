"""What a well-tried INR reaches on the same points: the measure that an INR alone is judged by.

Letters: ``M`` datapoints, ``N`` points, ``C`` channels.
"""

import functools
from collections.abc import Sequence

import jax
import numpy as np
import optax

from hyperinr import fitting, inrs, metrics
from hyperinr.types import Datapoint

__all__ = ['SHARP_DB', 'mean_psnr', 'reference_psnr', 'standardised', 'target_psnr']

SHARP_DB = 40.0
"""PSNR above which an INR has all that it needs: frequencies, width and scale are not tested."""
SHARE = 0.5
"""Share of the way in dB, from a datapoint's mean to the reference, that the target is at. SIRENs of 3 x 16 pass it on
photographs, digits and smooth functions, and ones of 3 x 4 on nothing (docs/checking.md)."""
RATE = 1e-3
"""Adam's rate for the reference: the best of six on four kinds of data, to a factor of two."""
FREQUENCIES = (1.0, 16.0)
"""Factors of the coordinates. The better one counts: a sound needs higher frequencies than a picture."""


def mean_psnr(datapoint: Datapoint, data_range: tuple[float, float]) -> float:
    """Return the PSNR of the best constant prediction in dB; `metrics.MOST_DB` for a constant datapoint."""
    values, weight = np.asarray(datapoint.counted().values), np.asarray(datapoint.weight)
    mean = np.broadcast_to(np.average(values, axis=0, weights=weight), values.shape)
    return float(metrics.psnr(mean, values, weight, data_range=data_range))


def standardised(points: Datapoint, data_range: tuple[float, float]) -> tuple[Datapoint, np.ndarray]:
    """Return the points with values of mean 0 and deviation 1, and that deviation for each datapoint ``[M]``.

    Args:
      points: leaves ``[M, N, ...]``.
      data_range: a datapoint that spans less than 1e-4 of it counts as constant.
    """
    counted, values = points.counted(), np.asarray(points.values, np.float64)
    share = np.asarray(points.weight, np.float64)
    share = share[..., None] / share.sum(axis=1)[:, None, None]
    mean = np.sum(share * counted.values, axis=1, keepdims=True)
    squares = np.square(np.where(share > 0, values - mean, 0))
    deviation = np.sqrt(np.sum(share * squares, axis=1).mean(axis=-1))
    deviation = np.maximum(deviation, 1e-4 * (data_range[1] - data_range[0]))
    scaled = np.where(share > 0, values - mean, 0) / deviation[:, None, None]
    return points._replace(values=scaled.astype(np.float32)), deviation


def reference_psnr(points: Datapoint, data_range: tuple[float, float], num_steps: int) -> np.ndarray:
    """Return the PSNR ``[M]`` in dB of a SIREN of the default size, fitted to each datapoint.

    The reference sees standardised values, and coordinates that fill [-1, 1]. So it is as good for any units.

    Args:
      points: leaves ``[M, N, ...]``.
      data_range: of the values, for the PSNR.
      num_steps: steps of Adam.
    """
    easy, deviation = standardised(points, data_range)
    counted = easy.counted().coords
    low, high = (reduce(counted, axis=(0, 1)) for reduce in (np.min, np.max))
    coords = 2 * (counted - low) / np.maximum(high - low, 1e-12) - 1
    scaled = [easy._replace(coords=np.float32(factor) * coords) for factor in FREQUENCIES]
    rows = jax.tree.map(lambda *leaves: np.concatenate(leaves), *scaled)
    inr = _siren(points.values.shape[-1])
    start = inr.init(jax.random.key(0), points.coords.shape[-1])
    starts = jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * len(rows.values)), dict(start))
    fitted = fitting.fit(inr, starts, rows, optimizer=_adam(), num_steps=num_steps)
    mse = np.asarray(fitted.mse)[:, -1].reshape(len(FREQUENCIES), -1) * np.square(deviation)
    return np.nan_to_num(np.asarray(metrics.psnr_from_mse(mse, data_range)), nan=0.0).max(axis=0)


# One object each, so that equal fits are compiled once.
_siren = functools.cache(lambda channels: inrs.siren(channels=channels))
_adam = functools.cache(lambda: optax.adam(RATE))


def target_psnr(mean_db: Sequence[float], reference_db: float | np.ndarray = SHARP_DB) -> np.ndarray:
    """Return the target ``[M]`` in dB: `SHARE` of the way from the mean to the reference, which counts to `SHARP_DB`.

    Where the reference is no better than the mean, the target is the reference.
    """
    end = np.minimum(reference_db, SHARP_DB)
    begin = np.minimum(mean_db, end)
    return begin + SHARE * (end - begin)
