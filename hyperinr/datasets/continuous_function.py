"""Datapoints whose ground truth is a function of the coordinates: it is known everywhere and nothing is stored."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from hyperinr import coordinates
from hyperinr.annotations import checked
from hyperinr.arguments import check_choice, check_positive
from hyperinr.datasets.arguments import check_counts, check_sizes
from hyperinr.datasets.base import Dataset, Source
from hyperinr.datasets.functions import Field, RandomFunction, waves
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['FunctionSource', 'continuous_function']


@checked
def continuous_function(
    *,
    function: RandomFunction = waves,
    resolution: Sequence[int] = (32, 32),
    sampling: Literal['grid', 'uniform'] = 'grid',
    num_points: int | None = None,
    channels: int = 3,
    num_train: int = 4096,
    num_validation: int = 256,
    num_test: int = 256,
    seed: int = 0,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of random functions. Each depends only on ``seed``, its split and its position.

    Args:
      function: draws one function, see `hyperinr.datasets.functions`.
      resolution: samples along each of the D axes of the grid; its length is D.
      sampling: ``'grid'``: the pixel centres. ``'uniform'``: points anywhere in [-1, 1]^D, new ones in each epoch.
      num_points: N, with ``'uniform'`` only; ``None``: as many as the grid has.
      channels: C.
      num_train: number of training functions.
      num_validation: number of validation functions.
      num_test: number of test functions.
      seed: seed of the functions and the points.
      data_dir: not used, since nothing is stored; every dataset takes it.

    Returns:
      Values in [0, 1]. The sources are `FunctionSource`s.

    Raises:
      InputError: a wrong argument, or a function with values that are not ``[N, C]``, not finite or outside [0, 1].
    """
    del data_dir
    resolution = check_sizes('continuous_function', resolution)
    counts = check_counts('continuous_function', num_train, num_validation, num_test, seed=seed)
    check_choice('continuous_function.sampling', sampling, ('grid', 'uniform'))
    if sampling == 'grid' and num_points not in (None, math.prod(resolution)):
        raise InputError(
            "continuous_function.num_points goes with sampling = 'uniform'; with a grid, resolution sets it."
        )
    check_positive('continuous_function', channels=channels)
    spec = DatasetSpec(
        name='continuous_function',
        grid_shape=resolution if sampling == 'grid' else None,
        num_points=num_points or math.prod(resolution),
        coord_dims=len(resolution),
        channels=channels,
        data_range=(0.0, 1.0),
        num_datapoints=num_train,
    )
    splits = {
        split: FunctionSource(function, spec, count, stream=(seed, position), label=split)
        for position, (split, count) in enumerate(counts.items())
    }
    for source in splits.values():
        source[0]
    return Dataset(spec, splits)


class FunctionSource(Source):
    """A `Source` that computes its datapoints from random functions.

    Args:
      function: draws one function.
      spec: specification of the datapoints. Without a grid, points are drawn anew in every epoch.
      count: number of functions in the split.
      stream: numbers that, with the position, seed the random numbers.
      label: name of the split, used in `names`.
    """

    def __init__(self, function: RandomFunction, spec: DatasetSpec, count: int, *, stream: tuple[int, int], label: str):
        super().__init__(count, spec.grid_shape)
        self._function, self._spec, self._stream, self._label = function, spec, stream, label
        self._grid = coordinates.grid(spec.grid_shape) if spec.grid_shape else None

    def names(self, index: int) -> str:
        return f'{self._label} function {index}'

    def field(self, index: int) -> Field:
        """Return the function itself: ``coords [N, D] -> values [N, C]``."""
        self.check(index)
        rng = np.random.default_rng([*self._stream, index, 0])
        return self._function(rng, self._spec.coord_dims, self._spec.channels)

    def evaluate(self, index: int, coords: np.ndarray) -> np.ndarray:
        """Return the ground truth at any ``coords [N, D]`` in [-1, 1]: ``[N, C]`` float32 in [0, 1]."""
        values = np.asarray(self.field(index)(np.asarray(coords, np.float64)), np.float32)
        where = f'{self.names(index)} of continuous_function'
        if values.shape != (len(coords), self._spec.channels):
            raise InputError(f'{where} gives {values.shape} at {len(coords)} points of {self._spec.channels} channels.')
        if not np.isfinite(values).all():
            raise InputError(f'{where} gives NaN or infinite values; it must be finite everywhere in [-1, 1].')
        if values.min() < -1e-6 or values.max() > 1 + 1e-6:
            raise InputError(f'{where} gives values from {values.min():g} to {values.max():g}; scale it to [0, 1].')
        return np.clip(values, 0, 1)

    def read(self, index: int, epoch: int | None) -> Datapoint:
        coords = self._grid
        if coords is None:
            rng = np.random.default_rng([*self._stream, index, 1, 0 if epoch is None else epoch + 1])
            coords = rng.uniform(-1, 1, (self._spec.num_points, self._spec.coord_dims)).astype(np.float32)
        return Datapoint(
            coords=coords,
            values=self.evaluate(index, coords),
            weight=np.ones(len(coords), np.float32),
            index=np.asarray(index, np.int32),
        )
