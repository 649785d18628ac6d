"""The first stage: check the data, as training will see them.

Letters: ``M`` checked datapoints, ``N`` points, ``D`` coordinate dimensions, ``C`` channels.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hyperinr.checking.findings import Stage
from hyperinr.checking.layout import check_coordinates, check_values
from hyperinr.datasets.base import Dataset, Source, evenly_spaced
from hyperinr.training.input_pipeline import RANGE_TOLERANCE
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['Named', 'check_data', 'evenly', 'is_sound', 'read_splits']

MOST = {'train': 2048, 'validation': 256}
"""Most datapoints read from a split, evenly spread. Takes a second or two for pictures in memory."""
MAX_LAYOUTS = 64
"""Most datapoints whose layout is tested. The median over this many is stable."""

SCALED_TWICE_SPAN = 1 / 50
"""Share of the stated range below which values were scaled twice. 8-bit values that are divided by 255 twice span
1/255 of it, values mapped to [-1, 1] twice span 1/127.5. Values scaled once that use less than 1/50 of the range would
be a bad training set too."""
LITTLE_SPAN = 0.55
"""Share of the stated range below which a note is given. Values in [0, 1] use half of [-1, 1]: PSNR is 6 dB high."""
UNSCALED_SPAN = 8.0
"""Multiple of the stated range above which values were not scaled. Overshoot of a filter stays far below it. 8-bit
values read as [0, 1] span 255 times the range."""
OUTSIDE = 1e-3
"""How far scattered coordinates may lie outside of [-1, 1]. Pixel numbers lie far outside."""


class Named(NamedTuple):
    """A datapoint and its origin.

    Attributes:
      split: ``'train'`` or ``'validation'``.
      position: position in the split.
      source: source of the split.
      datapoint: the datapoint, in NumPy arrays.
    """

    split: str
    position: int
    source: Source
    datapoint: Datapoint

    def __str__(self) -> str:
        return f'datapoint {self.position} of {self.split!r} ({self.source.names(self.position)})'

    @property
    def counted(self) -> np.ndarray:
        """Return the values ``[n, C]`` at the points of positive weight."""
        return np.asarray(self.datapoint.values)[np.asarray(self.datapoint.weight) > 0]


def read_splits(dataset: Dataset) -> dict[str, list[Named]]:
    """Read up to `MOST` datapoints of each split as training does, from epoch 0 of an augmenting source."""
    array: Callable[[Any], Any] = lambda leaf: None if leaf is None else np.asarray(leaf)

    def read(split: str, most: int) -> list[Named]:
        source = dataset.splits[split]
        seen = [(each, source.sample(each, 0)) for each in evenly_spaced(len(source), most).tolist()]
        if split == 'train':
            seen = [(position, each._replace(row=each.index)) for position, each in seen]
        return [Named(split, position, source, Datapoint(*map(array, each))) for position, each in seen]

    return {split: read(split, most) for split, most in MOST.items()}


def evenly(seen: Sequence[Named], most: int) -> list[Named]:
    """Return at most ``most`` datapoints at equal distances in the sequence."""
    return [seen[index] for index in evenly_spaced(len(seen), most)]


def is_sound(datapoint: Datapoint, spec: DatasetSpec) -> bool:
    """Return whether the datapoint has the stated shapes, finite numbers and a positive weight."""
    return not _fault(datapoint, spec)[0]


def check_data(dataset: Dataset, seen: Mapping[str, Sequence[Named]], stage: Stage) -> list[Named]:
    """Check the datapoints that were read, each for itself, and their range and layout.

    Datapoints with a wrong shape or values that are not finite get no further checks.

    Args:
      dataset: the dataset.
      seen: result of `read_splits`.
      stage: gets findings, numbers and a summary.

    Returns:
      The sound datapoints.
    """
    spec, sizes = dataset.spec, {split: len(dataset.splits[split]) for split in seen}
    for split, members in seen.items():
        if not members:
            stage.find('data.empty', split=split)
    counts = {split: len(members) for split, members in seen.items()}
    stage.numbers |= {'num_datapoints': sizes, 'num_seen': counts, 'stated_range': list(spec.data_range)}
    extent = ''
    sound = _well_formed([each for members in seen.values() for each in members], spec, stage)
    if sound:
        _check_range(sound, spec, stage)
        _check_layout(sound, spec, stage)
        extent = f', values {stage.numbers["smallest"]:.3g} to {stage.numbers["largest"]:.3g}'
    grid = f'{" x ".join(map(str, spec.grid_shape))} grid' if spec.grid_shape else f'{spec.num_points} points'
    shares = ', '.join(f'{counts[split]} of {sizes[split]} {split}' for split in counts)
    stage.summary = f'{grid}, {spec.channels} channels{extent}; {shares} datapoints checked'
    return sound


def _well_formed(seen: Sequence[Named], spec: DatasetSpec, stage: Stage) -> list[Named]:
    """Return the datapoints with the stated shapes, finite numbers and a positive weight; report the others."""
    if spec.grid_shape is not None and not _has_grid(spec):
        points = math.prod(spec.grid_shape)
        stage.find('data.wrong_shape/grid', grid_shape=spec.grid_shape, grid_points=points, num_points=spec.num_points)
    faults = [_fault(each.datapoint, spec) for each in seen]
    counts = Counter(name for name, _ in faults if name)
    for name, count in counts.items():
        first = next(row for row, fault in enumerate(faults) if fault[0] == name)
        others = f' (so are {count} of {len(seen)} datapoints)' if count > 1 else ''
        stage.find(name, where=str(seen[first]), **faults[first][1], num_datapoints=count, others=others)
    return [each for each, (name, _) in zip(seen, faults, strict=True) if not name]


def _fault(datapoint: Datapoint, spec: DatasetSpec) -> tuple[str, dict[str, Any]]:
    """Return code and numbers of a fault in the form of one datapoint; an empty code without a fault."""
    points = spec.num_points
    stated = {'coords': (points, spec.coord_dims), 'values': (points, spec.channels), 'weight': (points,)}
    shapes = {name: getattr(datapoint, name).shape for name in stated}
    wrong = [name for name in stated if shapes[name] != stated[name]]
    if wrong == ['values'] and shapes['values'][:-1] == (points,):
        channels = shapes['values'][-1]
        return 'data.wrong_channels', {'channels': channels, 'stated_channels': spec.channels, 'dataset': spec.name}
    for name in wrong:
        return 'data.wrong_shape', {'array': name, 'shape': shapes[name], 'stated_shape': stated[name]}
    for name in stated:
        bad = np.argwhere(~np.isfinite(getattr(datapoint.counted(), name)))
        if len(bad):
            point, pixel = int(bad[0][0]), ''
            if _has_grid(spec):
                pixel = f', pixel {tuple(int(index) for index in np.unravel_index(point, spec.grid_shape or ()))}'
            return 'data.not_finite', {'array': name, 'num_places': len(bad), 'point': point, 'pixel': pixel}
    if datapoint.weight.min() < 0:
        return 'data.wrong_weight', {}
    return ('' if datapoint.weight.max() > 0 else 'data.empty_mask'), {}


def _has_grid(spec: DatasetSpec) -> bool:
    return spec.grid_shape is not None and math.prod(spec.grid_shape) == spec.num_points


def _check_range(sound: Sequence[Named], spec: DatasetSpec, stage: Stage) -> None:
    low, high = spec.data_range
    width = high - low
    ends = np.array([(each.counted.min(), each.counted.max()) for each in sound], np.float64)
    smallest, largest = float(ends[:, 0].min()), float(ends[:, 1].max())
    span, slack = (largest - smallest) / width, RANGE_TOLERANCE * width
    stage.numbers |= {'smallest': smallest, 'largest': largest, 'span': span}
    extent = f'values run from {smallest:.4g} to {largest:.4g}, the stated range is [{low:g}, {high:g}]'
    numbers = {'extent': extent, 'low': low, 'high': high, 'smallest': smallest, 'largest': largest, 'span': span}
    if smallest < low - slack or largest > high + slack:
        # The image of [low, high] under the map x -> low + width x, which was meant for values in [0, 1].
        again = (low + width * low, low + width * high)
        if again != (low, high) and again[0] - slack <= smallest and largest <= again[1] + slack:
            stage.find('data.scaled_twice/map', **numbers)
        else:
            stage.find('data.not_scaled' if span > UNSCALED_SPAN else 'data.out_of_range', **numbers)
    elif 0 < span < SCALED_TWICE_SPAN:
        stage.find('data.scaled_twice', **numbers, times=1 / span)
    elif 0 < span < LITTLE_SPAN:
        stage.find('data.little_range', **numbers, flattery_db=-20 * math.log10(span))
    if spec.channels > 1 and all((each.counted == each.counted[:, :1]).all() for each in sound):
        stage.find('data.equal_channels', channels=spec.channels, num_datapoints=len(sound))


def _check_layout(sound: Sequence[Named], spec: DatasetSpec, stage: Stage) -> None:
    if spec.grid_shape is None:
        farthest = [float(np.abs(each.datapoint.counted().coords).max()) for each in sound]
        if max(farthest) > 1 + OUTSIDE:
            stage.find('data.outside', where=str(sound[int(np.argmax(farthest))]), farthest=max(farthest))
    if spec.grid_shape is None or not _has_grid(spec):
        return
    chosen = evenly(sound, MAX_LAYOUTS)
    wrong = (check_coordinates(np.asarray(each.datapoint.coords), spec, str(each)) for each in chosen)
    first = next((each for each in wrong if each is not None), None)
    values = check_values(np.stack([each.datapoint.values for each in chosen]), spec.grid_shape)
    stage.findings += [each for each in (first, values) if each is not None]
