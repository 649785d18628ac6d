"""The contract of a kind of signal: how its files are read and written, and where its samples lie.

Letters as in `hyperinr.types`; ``*grid`` are the sizes of a signal's axes, ``N`` their product.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from hyperinr import coordinates
from hyperinr.types import Datapoint

__all__ = ['Kind', 'Read', 'Signal', 'Write']


class Signal(NamedTuple):
    """One signal, read from a file.

    Attributes:
      values: ``[*grid, C]`` float32 in ``data_range``. A set of points has one axis, ``[N, C]``.
      data_range: ``(low, high)``: (-1, 1) for sounds and signed distances, else (0, 1).
      metadata: JSON-serialisable: what `Kind.write` needs to make such a file again. ``file_range`` are the values of
        the file that lie at the ends of ``data_range``, a pair, or a pair for each channel where channels differ in
        unit. Where the axes have units, ``spacing`` is the distance of the file's samples along each, as in `Read`, and
        ``grid_shape`` the sizes of the file's axes. Other entries are the kind's own: a rate, an affine, names.
      notes: conversions, in words.
      coords: ``[*grid, D]`` float32 in [-1, 1], for samples that lie elsewhere; ``None``: those of ``layout``.
      weight: ``[*grid]`` float32 >= 0, 0 where the file has no value; ``None``: 1.
      layout: see `Kind.layout`; it tells D even where ``coords`` are given.
    """

    values: np.ndarray
    data_range: tuple[float, float]
    metadata: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()
    coords: np.ndarray | None = None
    weight: np.ndarray | None = None
    layout: str = coordinates.PIXEL_CENTRES

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The sizes of the axes, ``*grid``."""
        return self.values.shape[:-1]

    @property
    def coord_dims(self) -> int:
        """D, the dimensions of the samples' coordinates."""
        return coordinates.dims(self.grid_shape, self.layout) if self.coords is None else self.coords.shape[-1]

    def at(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return coordinates ``[n, D]``, values ``[n, C]`` and weights ``[n]`` of some samples, by row-major number."""
        if self.coords is None:
            coords = coordinates.grid_rows(self.grid_shape, rows, self.layout)
        else:
            coords = self.coords.reshape(-1, self.coord_dims)[rows]
        weight = np.ones(len(rows), np.float32) if self.weight is None else self.weight.reshape(-1)[rows]
        return coords, self.values.reshape(-1, self.values.shape[-1])[rows], weight

    def datapoint(self) -> Datapoint:
        """Return all samples as a datapoint of N points, with index 0."""
        shape, number = self.grid_shape, math.prod(self.grid_shape)
        coords = coordinates.grid(shape, self.layout) if self.coords is None else self.coords.reshape(number, -1)
        weight = np.ones(number, np.float32) if self.weight is None else self.weight.reshape(number)
        return Datapoint(coords, self.values.reshape(number, -1), weight, np.zeros((), np.int32))


class Read(Protocol):
    """The reader of a kind. It refuses a wrong, truncated or hostile file with `InputError`, in one line.

    Args:
      path: path of the file, or of the folder of a signal in several files (video, volume).
      channels: channels of the result, converted where the kind has a rule for it; ``None``: those of the file.
      data_range: values of the file that become the ends of the signal's range, values outside are clipped; ``None``:
        by the file's type, or from the least to the greatest value where the type has no range.
      spacing: distance of neighbouring samples along each axis, in the kind's unit (seconds, millimetres); the signal
        is resampled to it. ``None``: that of the file. Images and fields are not resampled.
    """

    def __call__(
        self,
        path: Path,
        *,
        channels: int | None = None,
        data_range: tuple[float, float] | None = None,
        spacing: tuple[float, ...] | None = None,
    ) -> Signal: ...


class Write(Protocol):
    """The writer of a kind. It marks the file as an output of hyperinr, and checks all before it writes.

    Values go back to the numbers, the type and the axes of the file that the metadata describe, or to the kind's usual
    ones. A grid of another resolution fills the same seconds, box or part of the sphere.

    Args:
      path: path of the file, with the suffix `Kind.written`.
      values: ``[*grid, C]`` of any grid, clipped to the signal's range here.
      metadata: `Signal.metadata` of the file that the values come from, and its ``data_range``.

    Raises:
      InputError: values or metadata that are none of the kind, a missing package, or another program wrote ``path``.
    """

    def __call__(self, path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None: ...


class Kind(NamedTuple):
    """A kind of signal.

    Attributes:
      name: ``'image'``, ``'sound'``, ...
      suffixes: suffixes of its files, lower case.
      written: suffix of the files that `write` makes.
      read: see `Read`.
      write: see `Write`.
      num_axes: axes of its grid, without channels; ``None``: any number.
      layout: where the samples of its grid lie, one of `coordinates.LAYOUTS`.
      places: ``(shape, metadata) -> coords [*shape, D]`` of a grid of any shape over the part of the layout that the
        file covers; ``None``: every file covers it all.
    """

    name: str
    suffixes: tuple[str, ...]
    written: str
    read: Read
    write: Write
    num_axes: int | None
    layout: str = coordinates.PIXEL_CENTRES
    places: Callable[[tuple[int, ...], Mapping[str, Any]], np.ndarray] | None = None
