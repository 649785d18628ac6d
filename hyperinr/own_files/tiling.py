"""Cutting of large signals into tiles of one size, and the way back.

Letters: ``*shape`` samples along the axes of the signal, ``*tile`` of a tile, ``C`` channels, ``T`` tiles in row-major
order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hyperinr.errors import InputError

__all__ = ['Tiles', 'cut', 'stitch']


class Tiles(NamedTuple):
    """A signal cut into tiles.

    Attributes:
      values: ``[T, *tile, C]``; beyond the signal's far edges, its last sample along the axis is repeated.
      weight: ``[T, *tile]`` float32, the signal's own and 0 beyond its edges.
      grid: number of tiles along each axis.
    """

    values: np.ndarray
    weight: np.ndarray
    grid: tuple[int, ...]


def cut(values: np.ndarray, tile: Sequence[int], overlap: int = 0, *, weight: np.ndarray | None = None) -> Tiles:
    """Cut a signal ``[*shape, C]`` into tiles, from its first sample on.

    Args:
      values: the signal.
      tile: samples of a tile along each axis.
      overlap: samples that neighbouring tiles share along each axis, >= 0 and below every size of a tile.
      weight: ``[*shape]``; ``None``: 1.

    Raises:
      InputError: the overlap is out of range.
    """
    if not 0 <= overlap < min(tile):
        raise InputError(f'tiles of {tuple(tile)} can overlap by 0 to {min(tile) - 1} samples, not {overlap}.')
    shape = values.shape[:-1]
    weight = np.ones(shape, np.float32) if weight is None else weight
    grid = tuple(max(1, -(-(n - overlap) // (t - overlap))) for n, t in zip(shape, tile, strict=True))
    beyond = [(0, (k - 1) * (t - overlap) + t - n) for k, t, n in zip(grid, tile, shape, strict=True)]
    steps = tuple(slice(None, None, t - overlap) for t in tile)
    axes = tuple(range(len(tile)))

    def split(array: np.ndarray) -> np.ndarray:
        """Cut ``[*padded, ...]`` into ``[T, *tile, ...]``."""
        windows = np.lib.stride_tricks.sliding_window_view(array, tile, axes)[steps]
        trailing = windows.ndim - 2 * len(tile)
        moved = np.moveaxis(windows, range(len(tile), len(tile) + trailing), range(-trailing, 0))
        return moved.reshape(-1, *tile, *array.shape[len(tile) :])

    padded = np.pad(values, (*beyond, (0, 0)), mode='edge')
    return Tiles(split(padded), split(np.pad(weight, beyond)), grid)


def stitch(tiles: np.ndarray, grid: Sequence[int], shape: Sequence[int], overlap: int = 0) -> np.ndarray:
    """Join tiles ``[T, *tile, C]`` to a signal ``[*shape, C]``: the inverse of `cut`.

    Where tiles overlap, the mean is taken. The weight of a tile falls linearly towards its edges, so no edge is seen.
    """
    tile = tiles.shape[1:-1]
    ramps = [np.minimum(np.arange(1, t + 1), np.arange(t, 0, -1)).clip(max=overlap + 1) for t in tile]
    window = np.ones((), np.float32)
    for ramp in ramps:
        window = window[..., None] * ramp.astype(np.float32)
    size = [(k - 1) * (t - overlap) + t for k, t in zip(grid, tile, strict=True)]
    joined, total = np.zeros((*size, tiles.shape[-1]), np.float32), np.zeros(size, np.float32)
    for values, position in zip(tiles, np.ndindex(*grid), strict=True):
        at = tuple(slice(k * (t - overlap), k * (t - overlap) + t) for k, t in zip(position, tile, strict=True))
        joined[at] += window[..., None] * values
        total[at] += window
    inside = tuple(slice(n) for n in shape)
    return joined[inside] / total[inside][..., None]
