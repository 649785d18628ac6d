"""Cutting of large images into tiles of one size, and the way back.

Letters: ``H``, ``W`` pixels of the image, ``h``, ``w`` of a tile, ``T = rows * columns`` tiles in row-major order.
"""

from typing import NamedTuple

import numpy as np

__all__ = ['Tiles', 'cut', 'stitch']


class Tiles(NamedTuple):
    """An image cut into tiles.

    Attributes:
      values: ``[T, h, w, C]``; beyond the image's edge, its last row and column are repeated.
      weight: ``[T, h, w]`` float32, 1 in the image and 0 beyond its edge.
      grid: (rows, columns) of tiles.
    """

    values: np.ndarray
    weight: np.ndarray
    grid: tuple[int, int]


def cut(image: np.ndarray, shape: tuple[int, int]) -> Tiles:
    """Cut an image ``[H, W, C]`` into tiles of ``shape``, from the top left corner on."""
    rows, columns = (-(-size // tile) for size, tile in zip(image.shape[:2], shape, strict=True))
    height, width = rows * shape[0], columns * shape[1]
    beyond = ((0, height - image.shape[0]), (0, width - image.shape[1]))
    padded = np.pad(image, (*beyond, (0, 0)), mode='edge')
    inside = np.pad(np.ones(image.shape[:2], np.float32), beyond)

    def split(array: np.ndarray) -> np.ndarray:
        blocks = array.reshape(rows, shape[0], columns, shape[1], *array.shape[2:])
        return blocks.swapaxes(1, 2).reshape(rows * columns, *shape, *array.shape[2:])

    return Tiles(split(padded), split(inside), (rows, columns))


def stitch(tiles: np.ndarray, grid: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Join tiles ``[T, h, w, C]`` to an image ``[H, W, C]`` of ``shape``: the inverse of `cut`."""
    rows, columns = grid
    height, width = tiles.shape[1:3]
    joined = tiles.reshape(rows, columns, height, width, -1).swapaxes(1, 2)
    return joined.reshape(rows * height, columns * width, -1)[: shape[0], : shape[1]]
