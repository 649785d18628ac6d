"""The first rung: look at the data, as training will see them.

Letters: ``M`` datapoints looked at, ``N`` points, ``D`` coordinate dimensions, ``C`` channels.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hyperinr.checking.findings import Finding, note, problem
from hyperinr.checking.layout import check_coordinates, check_values
from hyperinr.datasets.base import Dataset, Source
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['DataLook', 'Named', 'evenly', 'look_at_data', 'typical']

MAX_DATAPOINTS = 2048
"""Of the training split that are looked at, evenly spread; a second or two for pictures held in memory."""
MAX_HELD_OUT = 256
"""The same of the validation split."""
MAX_LAYOUTS = 64
"""Datapoints whose layout is tested: the median of as many is steady."""

SCALED_TWICE_SPAN = 1 / 50
"""Of the stated range: 8-bit values divided by 255 twice span 1/255 of it, mapped to [-1, 1] twice 1/127.5; data that
were scaled once and use less than a fiftieth of their range would make no better a training set."""
LITTLE_SPAN = 1 / 4
"""Of the stated range: PSNR against a range four times as wide as the data's flatters by 12 dB."""
UNSCALED_SPAN = 8.0
"""Times the stated range: no overshoot of a filter goes as far, and values of 255 levels read as [0, 1] go to 255."""
CONSTANT_SPAN = 1 / 255
"""Of what all datapoints span together: less than one level of an 8-bit picture."""
NOTED_CONSTANT_SHARE = 0.05
RANGE_TOLERANCE = 1e-4
"""Of the width of the range, as training allows it."""


class Named(NamedTuple):
    """A datapoint and where it comes from.

    Attributes:
      split: ``'train'`` or ``'validation'``.
      position: in the split.
      source: of the split.
      datapoint: arrays of NumPy.
    """

    split: str
    position: int
    source: Source
    datapoint: Datapoint

    def __str__(self) -> str:
        return f'datapoint {self.position} of {self.split!r} ({self.source.names(self.position)})'


class DataLook(NamedTuple):
    """What the first rung saw.

    Attributes:
      findings: problems and notes.
      numbers: JSON-serialisable.
      seen: of the training split, whatever is wrong with them.
    """

    findings: tuple[Finding, ...]
    numbers: dict[str, Any]
    seen: tuple[Named, ...]


def look_at_data(dataset: Dataset) -> DataLook:
    """Looks at up to `MAX_DATAPOINTS` of the training split and `MAX_HELD_OUT` of the validation split.

    Each is read as training reads it, epoch 0 of a source that augments. Of datapoints of a wrong shape, or with values
    that are not finite, nothing else is said.
    """
    spec, splits = dataset.spec, {}
    findings: list[Finding] = []
    for split, most in (('train', MAX_DATAPOINTS), ('validation', MAX_HELD_OUT)):
        splits[split] = _read(dataset.splits[split], split, most)
        if not splits[split]:
            findings.append(problem('data.empty', f'the split {split!r} holds no datapoint', 'give it some'))
    numbers: dict[str, Any] = {
        'num_datapoints': {split: len(dataset.splits[split]) for split in splits},
        'num_seen': {split: len(members) for split, members in splits.items()},
        'stated_range': list(spec.data_range),
    }
    seen = [each for members in splits.values() for each in members]
    sound = _well_formed(seen, spec, findings)
    if sound:
        _check_range(sound, spec, findings, numbers)
        _check_variety([each for each in sound if each.split == 'train'], findings, numbers)
        _check_layout(sound, spec, findings)
    return DataLook(tuple(findings), numbers, tuple(splits['train']))


def evenly(seen: Sequence[Named], most: int) -> list[Named]:
    """At most ``most`` of them, at equal distances."""
    return [seen[index] for index in np.linspace(0, len(seen) - 1, min(len(seen), most)).round().astype(int)]


def typical(seen: Sequence[Named]) -> Named:
    """The datapoint of median spread: neither a constant one nor the busiest."""
    spreads = [float(np.nanstd(each.datapoint.values)) for each in seen]
    return seen[int(np.argsort(spreads)[len(spreads) // 2])]


def _read(source: Source, split: str, most: int) -> list[Named]:
    count = min(len(source), most)
    positions = np.linspace(0, len(source) - 1, count).round().astype(int).tolist() if count else []
    return [
        Named(split, position, source, Datapoint(*map(_array, source.sample(position, 0)))) for position in positions
    ]


def _array(leaf: Any) -> Any:
    return None if leaf is None else np.asarray(leaf)


def _well_formed(seen: Sequence[Named], spec: DatasetSpec, findings: list[Finding]) -> list[Named]:
    """Those that have the stated shapes, finite numbers and a point that counts; says what the others have."""
    points = spec.num_points
    stated = {'coords': (points, spec.coord_dims), 'values': (points, spec.channels), 'weight': (points,)}
    if spec.grid_shape is not None and math.prod(spec.grid_shape) != spec.num_points:
        findings.append(
            problem(
                'data.wrong_shape',
                f'the grid {spec.grid_shape} has {math.prod(spec.grid_shape)} points, the specification '
                f'{spec.num_points}',
                'make num_points the product of grid_shape',
            )
        )
    first: dict[str, tuple[int, Finding]] = {}

    def found(each: Named) -> Finding | None:
        datapoint = each.datapoint
        shape = {name: getattr(datapoint, name).shape for name in stated}
        if shape != stated and shape == {**stated, 'values': (points, *shape['values'][-1:])}:
            return problem(
                'data.wrong_channels',
                f'{each} has {shape["values"][-1]} channels, the specification of {spec.name!r} {spec.channels}',
                'convert the values, or state the channels that they have',
                channels=shape['values'][-1],
                stated_channels=spec.channels,
            )
        if shape != stated:
            name = next(name for name in stated if shape[name] != stated[name])
            return problem(
                'data.wrong_shape',
                f'{name} of {each} has shape {shape[name]}, the specification says {stated[name]}',
                'mend the source or its specification',
            )
        for name in stated:
            bad = np.argwhere(~np.isfinite(getattr(datapoint, name)))
            if len(bad):
                return problem(
                    'data.not_finite',
                    f'{name} of {each} is not finite at {len(bad)} places, the first one point {bad[0][0]}'
                    f'{_pixel(bad[0][0], spec)}',
                    'repair or leave out the datapoint; a point that is not known gets a finite value and weight 0',
                    point=int(bad[0][0]),
                    num_places=len(bad),
                )
        if datapoint.weight.min() < 0:
            return problem('data.wrong_weight', f'{each} has a weight below 0', 'weights are 0 or importances above 0')
        if datapoint.weight.max() <= 0:
            return problem(
                'data.empty_mask',
                f'{each} has no point of positive weight, so its mean error is 0 / 0',
                'leave it out, or mend its mask',
            )
        return None

    sound = []
    for each in seen:
        finding = found(each)
        if finding is None:
            sound.append(each)
        else:
            count = first.get(finding.code, (0, finding))[0]
            first[finding.code] = (count + 1, first.get(finding.code, (0, finding))[1])
    for count, finding in first.values():
        more = f' (so are {count} of {len(seen)} datapoints)' if count > 1 else ''
        numbers = {**finding.numbers, 'num_datapoints': count}
        findings.append(finding._replace(message=finding.message + more, numbers=numbers))
    return sound


def _pixel(point: int, spec: DatasetSpec) -> str:
    if spec.grid_shape is None or math.prod(spec.grid_shape) != spec.num_points:
        return ''
    return f', pixel {tuple(int(index) for index in np.unravel_index(int(point), spec.grid_shape))}'


def _counted(each: Named) -> np.ndarray:
    """Values ``[n, C]`` at the points of positive weight."""
    return np.asarray(each.datapoint.values)[np.asarray(each.datapoint.weight) > 0]


def _check_range(sound: Sequence[Named], spec: DatasetSpec, findings: list[Finding], numbers: dict[str, Any]) -> None:
    low, high = spec.data_range
    width = high - low
    ends = np.array([(values.min(), values.max()) for values in map(_counted, sound)], np.float64)
    smallest, largest = float(ends[:, 0].min()), float(ends[:, 1].max())
    span = (largest - smallest) / width
    numbers |= {'smallest': smallest, 'largest': largest, 'span': span}
    what = f'values run from {smallest:.4g} to {largest:.4g}, the stated range is [{low:g}, {high:g}]'
    slack = RANGE_TOLERANCE * width
    if smallest < low - slack or largest > high + slack:
        # Of [0, 1] -> [low, high], x -> low + width x, done to values that are in [low, high] already.
        again = (low + width * low, low + width * high)
        inside = again[0] - slack <= smallest and largest <= again[1] + slack
        if inside and again != (low, high):
            code, remedy = 'data.scaled_twice', f'the map of [0, 1] to [{low:g}, {high:g}] was done twice: do it once'
        elif span > UNSCALED_SPAN:
            code, remedy = 'data.not_scaled', f'scale them to [{low:g}, {high:g}], or state their range'
        else:
            code, remedy = 'data.out_of_range', 'clip or scale them, or state the range that they have'
        findings.append(problem(code, what, remedy, smallest=smallest, largest=largest))
    elif 0 < span < SCALED_TWICE_SPAN:
        remedy = 'scale them once; a division by 255 may have been done twice'
        findings.append(problem('data.scaled_twice', f'{what}: 1/{1 / span:.0f} of it', remedy, span=span))
    elif 0 < span < LITTLE_SPAN:
        flattery = -20 * math.log10(span)
        findings.append(
            note(
                'data.little_range',
                f'{what}: PSNR in it flatters by {flattery:.0f} dB',
                'state the range that the values have, unless figures must compare with others',
                span=span,
            )
        )
    if spec.channels > 1 and all(np.array_equal(v, np.broadcast_to(v[:, :1], v.shape)) for v in map(_counted, sound)):
        findings.append(
            note(
                'data.equal_channels',
                f'all {spec.channels} channels are equal in all {len(sound)} datapoints',
                'set channels to 1: the pictures are grey',
            )
        )


def _check_variety(train: Sequence[Named], findings: list[Finding], numbers: dict[str, Any]) -> None:
    if not train:
        return
    whole = numbers['largest'] - numbers['smallest']
    spreads = np.array([np.ptp(values, axis=0).max() for values in map(_counted, train)])
    constant = spreads <= CONSTANT_SPAN * whole
    share = float(constant.mean())
    numbers |= {'constant_share': share, 'median_spread': float(np.median(spreads))}
    if share > NOTED_CONSTANT_SHARE:
        make: Callable[..., Finding] = problem if share > 0.5 else note
        example = train[int(np.flatnonzero(constant)[0])]
        findings.append(
            make(
                'data.constant',
                f'{share:.0%} of {len(train)} training datapoints are constant, such as {example}',
                'leave them out: there is nothing to learn in them',
                share=share,
            )
        )
    head = train[0].datapoint
    same = lambda other: np.array_equal(head.values, other.values) and np.array_equal(head.coords, other.coords)
    if len(train) > 1 and share <= 0.5 and all(same(each.datapoint) for each in train):
        findings.append(
            problem('data.identical', f'all {len(train)} training datapoints are the same', 'mend how they are read')
        )


def _check_layout(sound: Sequence[Named], spec: DatasetSpec, findings: list[Finding]) -> None:
    if spec.grid_shape is None or math.prod(spec.grid_shape) != spec.num_points:
        return
    chosen = evenly(sound, MAX_LAYOUTS)
    for each in chosen:
        finding = check_coordinates(np.asarray(each.datapoint.coords), spec.grid_shape)
        if finding is not None:
            findings.append(finding._replace(message=f'{each}: {finding.message}'))
            break
    finding = check_values(np.stack([each.datapoint.values for each in chosen]), spec.grid_shape)
    if finding is not None:
        findings.append(finding)
