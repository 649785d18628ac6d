"""A dataset of fields on the sphere, one for each time in a file: winds, temperatures, ..."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hyperinr import coordinates
from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_fractions, check_seed
from hyperinr.datasets.base import SPLITS, Dataset, Source
from hyperinr.datasets.folders import described, fingerprint
from hyperinr.errors import InputError
from hyperinr.kinds.field import FIELD, read_frames
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['field_frames']


@checked
def field_frames(
    *,
    path: str | os.PathLike | None = None,
    variables: Sequence[str] | None = None,
    data_range: tuple[float, float] | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    augment: bool = True,
    seed: int = 0,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of the fields along the first axis of a file before latitude and longitude, such as its months.

    The first fields are for training, then come those for validation, the last ones are for testing: neighbours in time
    are alike. On a grid that is regular, from pole to pole and all around, the points form a grid of layout
    ``'sphere'``; on any other they are scattered. Points without a value, such as land, have weight 0.

    Args:
      path: a file of the kind ``'field'``: ``.nc`` and relatives, GRIB.
      variables: names of the variables that become channels; ``None``: all numeric ones of latitude and longitude. They
        must have one unit.
      data_range: ``(LOW, HIGH)`` of the file's values that become 0 and 1; ``None``: the least and the greatest.
      validation_fraction: fraction of the fields in (0, 1); at least one.
      test_fraction: fraction of the fields in (0, 1); at least one.
      augment: turn each training field around the axis of the sphere, by a longitude that each epoch draws.
      seed: seed of these turns.
      data_dir: see `hyperinr.datasets.cache_folder`, which keeps the hash of the file.

    Returns:
      A dataset with values in [0, 1]; ``source_range`` has the units of the file.

    Raises:
      InputError: no such file, fewer than 3 fields, variables of several units, or what `read_frames` refuses.
    """
    check_seed('field_frames', seed)
    check_fractions('field_frames', validation_fraction, test_fraction)
    if not path:
        raise InputError('field_frames.path must name a file of fields: add -p "field_frames.path=\'FILE.nc\'".')
    file = Path(path).expanduser().absolute()
    found = read_frames(file, data_range=data_range, variables=variables)
    count, *shape, channels = found.values.shape
    if np.ndim(found.metadata['file_range']) != 1:
        raise InputError(
            f'{str(file)!r} has variables of several units; choose those of one by -p "field_frames.variables=(NAME,)".'
        )
    held_out = [max(1, round(fraction * count)) for fraction in (validation_fraction, test_fraction)]
    if count - sum(held_out) < 1:
        raise InputError(f'{str(file)!r} has {count} fields; at least 3 are needed, one for each split.')
    coords = coordinates.grid(shape, found.layout) if found.coords is None else found.coords
    turns = augment and found.coords is None
    ends = np.cumsum([0, count - sum(held_out), *held_out])
    sources = {
        split: _Frames(
            found.values[begin:end],
            np.ones((end - begin, *shape), np.float32) if found.weight is None else found.weight[begin:end],
            coords.reshape(math.prod(shape), -1),
            seed=seed if turns and split == 'train' else None,
            on_grid=found.coords is None,
            first=int(begin),
        )
        for split, begin, end in zip(SPLITS, ends[:-1], ends[1:], strict=True)
    }
    low, high = found.metadata['file_range']
    spec = DatasetSpec(
        name='field_frames',
        grid_shape=tuple(shape) if found.coords is None else None,
        num_points=math.prod(shape),
        coord_dims=3,
        channels=channels,
        data_range=found.data_range,
        num_datapoints=len(sources['train']),
        kind=FIELD.name,
        layout=found.layout,
        source_range=(float(low), float(high)),
    )
    recipe = {
        'file': described({'all': [file]}, file.parent, data_dir)[0][2],
        'variables': variables,
        'range': [low, high],
    }
    return Dataset(spec, sources, fingerprint({**recipe, 'held_out': held_out, 'augment': turns, 'seed': seed}))


class _Frames(Source):
    """Fields ``[n, H, W, C]`` with weights ``[n, H, W]`` at coordinates ``[H W, 3]``; turned if there is a seed."""

    def __init__(
        self,
        values: np.ndarray,
        weight: np.ndarray,
        coords: np.ndarray,
        *,
        seed: int | None,
        on_grid: bool,
        first: int,
    ):
        super().__init__(len(values), values.shape[1:3] if on_grid else None)
        self._values, self._weight, self._coords, self._seed, self._first = values, weight, coords, seed, first

    def read(self, index: int, epoch: int | None) -> Datapoint:
        values, weight = self._values[index], self._weight[index]
        if epoch is not None and self._seed is not None:
            turn = int(np.random.default_rng((self._seed, index, epoch)).integers(values.shape[1]))
            values, weight = np.roll(values, turn, axis=1), np.roll(weight, turn, axis=1)
        points = len(self._coords)
        return Datapoint(self._coords, values.reshape(points, -1), weight.reshape(points), np.asarray(index, np.int32))

    def names(self, index: int) -> str:
        self.check(index)
        return f'field {self._first + index}'
