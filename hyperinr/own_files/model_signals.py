"""The user's signals in the form that a model takes: read, resampled to its grid or cut into tiles.

Letters: ``T`` tiles, each a datapoint with an INR of its own; other letters as in `hyperinr.types`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr import coordinates, kinds
from hyperinr.errors import InputError
from hyperinr.kinds import Kind, Signal, read_signal
from hyperinr.kinds.resampling import resampled
from hyperinr.model import Model
from hyperinr.own_files import tiling
from hyperinr.types import Datapoint

__all__ = ['Prepared', 'datapoint_of', 'kind_for', 'prepare', 'read_for']


NAMELESS = Path('signal')
"""In messages, which file a signal is of is not known here."""


class Prepared(NamedTuple):
    """A signal as datapoints of a model.

    Attributes:
      datapoints: leaves ``[T, ...]``; ``coords`` is one array, ``[1, N, D]``, that all share.
      tile: grid of each INR; ``None`` for scattered points.
      grid: number of tiles along each axis; ``None`` unless the signal was cut.
      shape: samples along the axes of what the INRs reconstruct together: the signal's own unless it was resampled.
      overlap: samples that neighbouring tiles share.
      notes: conversions, in words.
    """

    datapoints: Datapoint
    tile: tuple[int, ...] | None
    grid: tuple[int, ...] | None
    shape: tuple[int, ...]
    overlap: int
    notes: tuple[str, ...]


def kind_for(model: Model, file: Path, name: str | None = None) -> Kind:
    """Return the kind that a file is read as: the one named, else that of the model's data, else by the suffix."""
    return kinds.kind_of(file, name or model.spec.kind)


def read_for(model: Model, file: Path, kind: Kind, options: Mapping[str, Any]) -> Signal:
    """Read a file as the model's data were read: with their channels, and their range and spacing where they have one.

    Args:
      model: the model.
      file: path of the file.
      kind: its kind.
      options: further arguments of `hyperinr.kinds.read_signal`.

    Raises:
      InputError: the file cannot be read, or the model takes signals of other coordinates.
    """
    spec = model.spec
    # Arrays that training took as they are have no range of a type, by which other kinds are read.
    as_they_are = spec.data_range if kind.name == 'array' and spec.data_range != (0.0, 1.0) else None
    data_range = spec.source_range or as_they_are
    usual = {'channels': spec.channels, 'data_range': data_range, 'spacing': spec.spacing}
    given = {name: value for name, value in options.items() if value is not None}
    signal = read_signal(file, kind, **{**usual, **given})
    if (signal.coord_dims, signal.values.shape[-1]) != (spec.coord_dims, spec.channels):
        raise InputError(
            f'{str(file)!r} is a signal over {signal.coord_dims} coordinates with {signal.values.shape[-1]} channels; '
            f'this model takes {spec.coord_dims} and {spec.channels}.'
        )
    return signal


def prepare(model: Model, signal: Signal, *, tile: bool = False, overlap: int = 0) -> Prepared:
    """Turn a signal into datapoints of a model, its values in the model's data range.

    Args:
      model: a model of signals over the same coordinates.
      signal: made by `read_for`.
      tile: cut it into tiles of the model's size. Otherwise it is resampled to the model's grid, which changes the
        ratio of its sides; its INR can be evaluated at the original one. A signal whose samples have a spacing, such as
        a sound, is always cut.
      overlap: samples that neighbouring tiles share along each axis.

    Raises:
      InputError: a wrong overlap, or a signal that this model's encoder cannot take.
    """
    spec = model.spec
    values = _in_range(signal.values, signal.data_range, spec.data_range)
    weight = np.ones(values.shape[:-1], np.float32) if signal.weight is None else signal.weight
    if signal.coords is not None:
        if spec.grid_shape is not None:
            raise InputError(
                f'these samples lie on no grid of layout {spec.layout!r}, which the model takes; use a model of '
                'scattered points.'
            )
        coords = signal.coords.reshape(1, -1, signal.coords.shape[-1])
        datapoints = _datapoints(coords, values[None], weight[None])
        return Prepared(datapoints, None, None, signal.grid_shape, 0, ())
    shape = grid_of(model)
    notes: tuple[str, ...] = ()
    if (signal.layout, len(signal.grid_shape)) != (spec.layout, len(shape)):
        raise InputError(f'this model takes grids {shape} of layout {spec.layout!r}, not {signal.grid_shape}.')
    if spec.spacing is not None and signal.grid_shape != shape:
        tile, notes = True, (f'cut into parts of {" x ".join(map(str, shape))} samples',)
    if spec.layout == coordinates.SPHERE and signal.grid_shape != shape:
        raise InputError(f'this model takes {shape} latitudes and longitudes, not {signal.grid_shape}: interpolate.')
    coords = coordinates.grid(shape, spec.layout)[None]
    if overlap and not tile:
        raise InputError(f'an overlap of {overlap} samples needs tiles: add --tile, or leave --overlap out.')
    if not tile:
        if signal.grid_shape != shape:
            notes = (f'resampled from {" x ".join(map(str, signal.grid_shape))} to {" x ".join(map(str, shape))}',)
        if not weight.all() and signal.grid_shape != shape:
            raise InputError(f'a signal with missing samples cannot be resampled from {signal.grid_shape} to {shape}.')
        fitted = resampled(values, shape, NAMELESS)[None]
        kept = weight if signal.grid_shape == shape else np.ones(shape, np.float32)
        return Prepared(_datapoints(coords, fitted, kept[None]), shape, None, shape, 0, notes)
    tiles = tiling.cut(values, shape, overlap, weight=weight)
    datapoints = _datapoints(coords, tiles.values, tiles.weight)
    return Prepared(datapoints, shape, tiles.grid, signal.grid_shape, overlap, notes)


def grid_of(model: Model) -> tuple[int, ...]:
    """Return the grid of the signals that a model takes; for scattered points, a cube of about as many."""
    spec = model.spec
    if spec.grid_shape is not None:
        return spec.grid_shape
    side = round(spec.num_points ** (1 / spec.coord_dims))
    side -= side**spec.coord_dims > spec.num_points
    return (max(1, side),) * spec.coord_dims


def datapoint_of(model: Model, signal: Signal) -> Datapoint:
    """Return a whole signal as one datapoint of the model, resampled to its grid.

    Raises:
      InputError: see `prepare`.
    """
    found = prepare(model, signal).datapoints
    if len(found.values) != 1:
        raise InputError(f'the signal has {signal.grid_shape} samples and the model takes {grid_of(model)}; cut it.')
    return Datapoint(*(leaf[0] for leaf in found[:4]))


def _datapoints(coords: np.ndarray, values: np.ndarray, weight: np.ndarray) -> Datapoint:
    """Return values ``[T, *tile, C]`` and weights ``[T, *tile]`` as datapoints."""
    points = (len(values), math.prod(weight.shape[1:]))
    index = np.arange(len(values), dtype=np.int32)
    return Datapoint(coords, values.reshape(*points, -1), weight.reshape(points), index)


def _in_range(values: np.ndarray, of: tuple[float, float], to: tuple[float, float]) -> np.ndarray:
    """Map values from the range ``of`` to the range ``to``; without a copy if the ranges are equal."""
    if tuple(of) == tuple(to):
        return values
    return (to[0] + (to[1] - to[0]) / (of[1] - of[0]) * (values - of[0])).astype(np.float32)
