"""Draw the data: each datapoint as an encoder reads it and as an INR sees it."""

import math
import os
from collections.abc import Sequence

import numpy as np

from hyperinr import coordinates
from hyperinr.files.images import quantise, write_picture
from hyperinr.panels import plane, to_rgb
from hyperinr.training.input_pipeline import RANGE_TOLERANCE
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['draw_datapoints', 'picture_of']

CELL = 128
"""Least side of a picture in pixels."""
GAP = 8
SCATTERED = (64, 64)
"""Rows and columns of the raster on which scattered points are drawn."""
NOT_FINITE, BELOW, ABOVE, HIDDEN, PAPER = (255, 0, 255), (0, 64, 255), (255, 64, 0), (96, 128, 96), (255, 255, 255)


def draw_datapoints(path: str | os.PathLike, datapoints: Sequence[Datapoint], spec: DatasetSpec) -> None:
    """Write the picture of `picture_of` as a PNG.

    Raises:
      InputError: there is no permission to write.
      RunError: the disk is full.
    """
    write_picture(path, picture_of(datapoints, spec))


def picture_of(datapoints: Sequence[Datapoint], spec: DatasetSpec) -> np.ndarray:
    """Draw a column for each datapoint: above, its values in the stated grid; below, each at its first two coordinates.

    If the two differ for an image, grid and coordinates contradict each other. A grid of other axes is arranged as
    `hyperinr.panels.plane` arranges it: slices of a volume, a stripe of a sound; without a grid the upper row is
    missing. Values that are not finite are magenta, values below the stated range blue, values above it orange, and
    points of weight 0 dull green. In more than two dimensions the lower row has only the points within a quarter of the
    middle of the further axes.

    Args:
      datapoints: at least one, with arrays ``[N, D]``, ``[N, C]``, ``[N]``.
      spec: states grid and range.

    Returns:
      ``[height, width, 3]`` uint8.
    """
    columns = []
    grid = spec.grid_shape
    raster = SCATTERED
    if grid is not None and len(grid) == 2 and spec.layout == coordinates.PIXEL_CENTRES:
        raster = (grid[0], grid[1])
    for datapoint in datapoints:
        colours = _colours(datapoint, spec)
        cells = [_placed(colours, np.asarray(datapoint.coords), raster)]
        if grid is not None and len(colours) == math.prod(grid):
            arranged = plane(colours.reshape(*grid, 3), spec)
            cells.insert(0, np.where(np.isnan(arranged), PAPER, arranged.round()).astype(np.uint8))
        columns.append([_framed(cell) for cell in cells])
    rows = [np.concatenate(row, axis=1) for row in zip(*columns, strict=True)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _colours(datapoint: Datapoint, spec: DatasetSpec) -> np.ndarray:
    """Return colours ``[N, 3]`` uint8; grey unless there are three channels."""
    low, high = spec.data_range
    values = np.asarray(datapoint.values, np.float64)
    slack = RANGE_TOLERANCE * (high - low)
    shown = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    colours = quantise(to_rgb(shown, spec.data_range))
    marks = (
        (np.asarray(datapoint.weight) <= 0, HIDDEN),
        ((values < low - slack).any(axis=-1), BELOW),
        ((values > high + slack).any(axis=-1), ABOVE),
        (~np.isfinite(values).all(axis=-1), NOT_FINITE),
    )
    for where, colour in marks:
        if where.shape == (len(colours),):
            colours[where] = colour
    return colours


def _placed(colours: np.ndarray, coords: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Draw each point on the pixel of ``shape`` at its first two coordinates; pixels without a point stay paper."""
    canvas = np.full((*shape, 3), PAPER, np.uint8)
    coords = np.nan_to_num(np.asarray(coords, np.float64).reshape(len(colours), -1))
    flat = np.pad(coords[:, :2], ((0, 0), (0, max(0, 2 - coords.shape[1]))))
    inside = (np.abs(coords[:, 2:]) <= 0.25).all(axis=1)
    places = np.clip(np.floor((flat + 1) / 2 * np.array(shape)), 0, np.array(shape) - 1).astype(int)[inside]
    canvas[places[:, 0], places[:, 1]] = colours[inside]
    return canvas


def _framed(cell: np.ndarray) -> np.ndarray:
    """Return the cell enlarged to `CELL` pixels, in a frame."""
    factor = max(1, CELL // max(cell.shape[:2]))
    enlarged = cell.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.pad(enlarged, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=32)
