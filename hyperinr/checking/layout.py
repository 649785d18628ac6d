"""Check the order of axes and channels: values and coordinates must describe the same signal.

Letters: ``M`` signals, ``*grid`` the sizes of their axes, ``C`` channels, ``N`` points.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from hyperinr import coordinates
from hyperinr.checking.findings import Finding, finding
from hyperinr.types import DatasetSpec

__all__ = ['check_coordinates', 'check_values', 'roughness']

COORDINATE_TOLERANCE = 1e-4
"""Largest difference of equal coordinates. In a grid of 200 points a side neighbours are a hundred times farther apart,
and float32 rounds a hundred times finer."""

ROUGHNESS_RATIO = 1.2
"""Ratio of roughness above which another order of the axes is the right one. Noise is equally rough in every order, to
1 %. In a wrong order pictures with a 1 / frequency spectrum are 1.3 times as rough as in the right one, and
photographs 1.7 times or more (docs/checking.md)."""


STRIPE_SHARE = 0.05
"""Ratio of the least change along an axis to the largest below which a picture has stripes. Stripes along a stated axis
support the stated order, although another order may be smoother. Such pictures are left out."""


def check_coordinates(coords: np.ndarray, spec: DatasetSpec, where: str) -> Finding | None:
    """Compare one datapoint's coordinates with those of its grid.

    Args:
      coords: ``[N, D]``, finite.
      spec: its grid, of N points.
      where: name of the datapoint, for the message.
    """
    grid_shape = spec.grid_shape or ()
    expected, stated = coordinates.grid(grid_shape, spec.layout), tuple(range(len(grid_shape)))
    if _equal(coords, expected):
        return None
    numbers = {'where': where, 'grid_shape': tuple(grid_shape)}
    for order in itertools.permutations(stated) if spec.layout == coordinates.PIXEL_CENTRES else ():
        turned = coordinates.grid([grid_shape[axis] for axis in order])
        if order != stated and (_equal(coords[:, order], expected) or _equal(coords, turned)):
            return finding('data.transposed_grid', **numbers, order=order, stated_order=stated)
    spans = [f'[{low:.3g}, {high:.3g}]' for low, high in zip(coords.min(axis=0), coords.max(axis=0), strict=True)]
    offset = float(np.max(np.abs(coords - expected)))
    return finding('data.wrong_grid', **numbers, largest_difference=offset, spans=' x '.join(spans))


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.max(np.abs(first - second)) < COORDINATE_TOLERANCE)


def roughness(signals: np.ndarray) -> np.ndarray:
    """Return the mean difference of neighbouring samples, divided by that of random samples: about 1 without structure.

    Args:
      signals: ``[M, *grid, C]``.

    Returns:
      ``[M]`` >= 0; NaN for a constant signal.
    """
    signals = np.asarray(signals, np.float64)
    count = len(signals)
    neighbours = [np.abs(np.diff(signals, axis=axis)).reshape(count, -1) for axis in range(1, signals.ndim - 1)]
    points = signals.reshape(count, -1, signals.shape[-1])
    shuffled = np.random.default_rng(0).permutation(points.shape[1])
    apart = np.abs(points - points[:, shuffled]).mean(axis=(1, 2))
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.concatenate(neighbours, axis=1).mean(axis=1) / np.where(apart > 0, apart, np.nan)


def check_values(values: np.ndarray, grid_shape: Sequence[int]) -> Finding | None:
    """Look for an order of axes in which the same numbers are far smoother than as the stated axes, then channels.

    Args:
      values: ``[M, N, C]``, finite.
      grid_shape: the stated axes.
    """
    grid, channels = tuple(grid_shape), values.shape[-1]
    if not len(values):
        return None
    signals = values.reshape(-1, *grid, channels)
    changes = [np.abs(np.diff(signals, axis=1 + axis)).reshape(len(signals), -1) for axis in range(len(grid))]
    along = np.stack([each.mean(axis=1) for each in changes if each.shape[1]] or [np.zeros(len(signals))])
    varied = along.min(axis=0) > STRIPE_SHARE * along.max(axis=0)
    others: list[tuple[str, tuple[int, ...], np.ndarray]] = []
    for turned in sorted({*itertools.permutations(grid)} - {grid}):
        others.append(('data.transposed_grid/values', (*turned, channels), values.reshape(-1, *turned, channels)))
    # Equal channels show that the last axis holds channels. In grey pictures another order may be smoother.
    if channels > 1 and not np.allclose(values, values[..., :1]):
        channels_first = np.moveaxis(values.reshape(-1, channels, *grid), 1, -1)
        others.append(('data.channel_order', (channels, *grid), channels_first))
    if not others or not varied.any():
        return None
    stated, *rough = (roughness(each[varied]) for each in (signals, *(reading for _, _, reading in others)))
    known = np.isfinite([stated, *rough]).all(axis=0)
    if not known.any():
        return None
    usual = float(np.median(stated[known]))
    better, best = min((float(np.median(each[known])), number) for number, each in enumerate(rough))
    if usual <= ROUGHNESS_RATIO * better:
        return None
    code, shape, _ = others[best]
    shapes = {'shape': shape, 'stated_shape': (*grid, channels)}
    times = usual / max(better, 1e-9)
    return finding(code, **shapes, times=times, roughness=usual, roughness_in_other_order=better)
