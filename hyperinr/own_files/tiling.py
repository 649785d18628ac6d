"""Cutting of large signals into tiles of one size, and the way back.

Letters: ``*shape`` samples along the axes of the signal, ``*tile`` of a tile, ``C`` channels, ``T`` tiles in row-major
order.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hyperinr.errors import InputError

__all__ = ['Tiles', 'check_grid', 'cut', 'starts_of', 'stitch']


class Tiles(NamedTuple):
    """A signal cut into tiles.

    Attributes:
      values: ``[T, *tile, C]``; where the signal is shorter than a tile, its last sample along the axis is repeated.
      weight: ``[T, *tile]`` float32, the signal's own and 0 beyond its edges.
      grid: number of tiles along each axis.
    """

    values: np.ndarray
    weight: np.ndarray
    grid: tuple[int, ...]


def cut(values: np.ndarray, tile: Sequence[int], overlap: int = 0, *, weight: np.ndarray | None = None) -> Tiles:
    """Cut a signal ``[*shape, C]`` into tiles, from its first sample on; the last tile ends at its last sample.

    Args:
      values: the signal.
      tile: samples of a tile along each axis.
      overlap: samples that neighbouring tiles share along each axis, >= 0 and below every size of a tile. The last two
        tiles may share more.
      weight: ``[*shape]``; ``None``: 1.

    Raises:
      InputError: the overlap is out of range.
    """
    shape = values.shape[:-1]
    weight = np.ones(shape, np.float32) if weight is None else weight
    beyond = [(0, max(0, t - n)) for t, n in zip(tile, shape, strict=True)]
    padded, inside = np.pad(values, (*beyond, (0, 0)), mode='edge'), np.pad(weight, beyond)
    grid, places = _places(shape, tile, overlap)
    return Tiles(np.stack([padded[at] for at in places]), np.stack([inside[at] for at in places]), grid)


def stitch(tiles: np.ndarray, grid: Sequence[int], shape: Sequence[int], overlap: int = 0) -> np.ndarray:
    """Join tiles ``[T, *tile, C]`` to a signal ``[*shape, C]``: the inverse of `cut`.

    Where tiles overlap, their weighted mean is taken. The weight of a tile falls linearly towards its edges over the
    ``overlap``, so that no edge is seen.

    Raises:
      InputError: see `check_grid`.
    """
    tile = tiles.shape[1:-1]
    check_grid(grid, shape, tile, overlap)
    _, places = _places(shape, tile, overlap)
    window = np.ones((), np.float32)
    for t in tile:
        ramp = np.minimum(np.arange(1, t + 1), np.arange(t, 0, -1)).clip(max=overlap + 1)
        window = window[..., None] * ramp.astype(np.float32)
    size = [max(n, t) for n, t in zip(shape, tile, strict=True)]
    joined, total = np.zeros((*size, tiles.shape[-1]), np.float32), np.zeros((*size, 1), np.float32)
    for values, at in zip(tiles, places, strict=True):
        joined[at] += window[..., None] * values
        total[at] += window[..., None]
    inside = tuple(slice(n) for n in shape)
    return joined[inside] / total[inside]


def check_grid(grid: Sequence[int], shape: Sequence[int], tile: Sequence[int], overlap: int) -> None:
    """Raise `InputError` unless a signal of ``shape`` has ``grid`` tiles."""
    expected = tuple(map(len, starts_of(shape, tile, overlap)))
    if tuple(grid) != expected:
        raise InputError(f'a signal of {tuple(shape)} has {expected} tiles of {tuple(tile)}, not {tuple(grid)}.')


def starts_of(shape: Sequence[int], tile: Sequence[int], overlap: int) -> list[list[int]]:
    """Return where tiles begin along each axis."""
    if not 0 <= overlap < min(tile):
        raise InputError(f'tiles of {tuple(tile)} can overlap by 0 to {min(tile) - 1} samples, not {overlap}.')
    starts = []
    for n, t in zip(shape, tile, strict=True):
        number = max(1, -(-(n - overlap) // (t - overlap)))
        starts.append([max(0, min(k * (t - overlap), n - t)) for k in range(number)])
    return starts


def _places(shape: Sequence[int], tile: Sequence[int], overlap: int) -> tuple[tuple[int, ...], list[tuple[slice, ...]]]:
    """Return the number of tiles along each axis, and where each tile lies, in row-major order."""
    starts = starts_of(shape, tile, overlap)
    places = [
        tuple(slice(start, start + t) for start, t in zip(corner, tile, strict=True))
        for corner in itertools.product(*starts)
    ]
    return tuple(map(len, starts)), places
