"""Datapoints of signals in arrays, converted when they are read."""

import numpy as np

from hyperinr import coordinates
from hyperinr.datasets.arrays import Arrays
from hyperinr.datasets.base import Source
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['ArraySource']


class ArraySource(Source):
    """A `Source` of signals in arrays.

    Args:
      arrays: all signals, as `hyperinr.datasets.arrays.opened` returns them.
      rows: ``[n]``, which of them belong to the split.
      spec: specification of the dataset.
      label: name of the arrays, used in `names`.
    """

    def __init__(self, arrays: Arrays, rows: np.ndarray, spec: DatasetSpec, label: str):
        super().__init__(len(rows), spec.grid_shape)
        self._arrays, self._rows, self._spec, self._label = arrays, rows, spec, label
        self._grid = None if spec.grid_shape is None else coordinates.grid(spec.grid_shape, spec.layout)
        self.labels = None if arrays.labels is None else np.asarray(arrays.labels)[rows].astype(np.int32)

    def names(self, index: int) -> str:
        self.check(index)
        return f'{self._label} {self._rows[index]}'

    def read(self, index: int, epoch: int | None) -> Datapoint:
        row = int(self._rows[index])
        values = np.asarray(self._arrays.values[row])
        shape = values.shape[:-1]
        if self._spec.source_range is not None:
            low, high = self._spec.source_range
            values = (values.astype(np.float64) - low) / (high - low)
        if self._arrays.coords is not None:
            coords = np.asarray(self._arrays.coords[row], np.float32)
        else:
            coords = coordinates.grid(shape, self._spec.layout) if self._grid is None else self._grid
        weights = np.ones(shape, np.float32) if self._arrays.weights is None else self._arrays.weights[row]
        return Datapoint(
            coords=self._padded(coords.reshape(-1, self._spec.coord_dims)),
            values=self._padded(values.astype(np.float32).reshape(-1, self._spec.channels)),
            weight=self._padded(np.asarray(weights, np.float32).reshape(-1)),
            index=np.asarray(index, np.int32),
            label=None if self.labels is None else self.labels[index],
        )

    def _padded(self, points: np.ndarray) -> np.ndarray:
        """Append zeros to ``[N_i, ...]`` up to the N of all signals."""
        missing = self._spec.num_points - len(points)
        return np.pad(points, [(0, missing)] + [(0, 0)] * (points.ndim - 1)) if missing else points
