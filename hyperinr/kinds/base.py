"""The contract of a kind of signal: how its files are read and written, and where its samples lie.

Letters as in `hyperinr.types`; ``*grid`` are the sizes of a signal's axes, ``N`` their product.
"""

import math
from collections.abc import Mapping
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
      data_range: ``(low, high)``.
      metadata: JSON-serialisable: what `Kind.write` needs to make such a file again. ``file_range`` are the values of
        the file that lie at the ends of ``data_range``.
      notes: conversions, in words.
      coords: ``[*grid, D]`` float32 in [-1, 1]; ``None``: those of `Kind.layout`.
      weight: ``[*grid]`` float32 >= 0, 0 where the file has no value; ``None``: 1.
      layout: see `Kind.layout`.
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

    def datapoint(self) -> Datapoint:
        """Return all samples as a datapoint of N points, with index 0."""
        shape, number = self.grid_shape, math.prod(self.grid_shape)
        coords = coordinates.grid(shape, self.layout) if self.coords is None else self.coords.reshape(number, -1)
        weight = np.ones(number, np.float32) if self.weight is None else self.weight.reshape(number)
        return Datapoint(coords, self.values.reshape(number, -1), weight, np.zeros((), np.int32))


class Read(Protocol):
    """The reader of a kind. It refuses a wrong, truncated or hostile file with `InputError`, in one line.

    Args:
      path: path of the file, or of the folder of a signal in several files.
      channels: channels of the result; ``None``: those of the file.
      data_range: values of the file that become the ends of the signal's range; ``None``: by the file's type.
      spacing: distance of neighbouring samples along each axis, in the kind's unit (seconds, millimetres); the signal
        is resampled to it. ``None``: that of the file.
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
    """The writer of a kind. It marks the file as an output of hyperinr.

    Args:
      path: path of the file, with the suffix `Kind.written`.
      values: ``[*grid, C]`` of any grid, clipped to the signal's range here.
      metadata: `Signal.metadata` of the file that the values come from, and its ``data_range``.
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
    """

    name: str
    suffixes: tuple[str, ...]
    written: str
    read: Read
    write: Write
    num_axes: int | None
    layout: str = coordinates.PIXEL_CENTRES
