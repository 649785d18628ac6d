"""The cache of decoded signals: one array of float32 on the disk, of which any member is read without the rest.

Letters: ``*shape`` samples along the axes of a signal, ``C`` channels.
"""

import contextlib
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr.datasets.cache import cache_folder, locked, reading
from hyperinr.datasets.folders import fingerprint
from hyperinr.datasets.signal_splits import Member
from hyperinr.errors import InputError
from hyperinr.kinds import Kind, Signal
from hyperinr.runtime.files import disk_errors

__all__ = ['CachedSignal', 'CachedSignals', 'open_signals']

VALUES, WEIGHTS, INDEX = 'values.bin', 'weights.bin', 'signals.json'
SCHEMA = 1


class CachedSignal(NamedTuple):
    """A signal in the cache.

    Attributes:
      values: ``[*shape, C]`` float32, on the disk.
      weight: ``[*shape]`` float32, on the disk; ``None``: 1.
      name: path of its file below its folder.
      group: see `Member`.
      label: its class, or ``None``.
    """

    values: np.ndarray
    weight: np.ndarray | None
    name: str
    group: str
    label: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self.values.shape[:-1]

    def part(self, start: Sequence[int], shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return values ``[*shape, C]`` and weights ``[*shape]`` from a position on; both 0 beyond the far edges."""
        at = tuple(slice(begin, begin + size) for begin, size in zip(start, shape, strict=True))
        cut = self.values[at]
        values, weight = np.zeros((*shape, cut.shape[-1]), np.float32), np.zeros(tuple(shape), np.float32)
        inside = tuple(slice(size) for size in cut.shape[:-1])
        values[inside] = cut
        weight[inside] = 1 if self.weight is None else self.weight[at]
        return values, weight


class CachedSignals(NamedTuple):
    """All signals of a dataset.

    Attributes:
      signals: those of each split.
      channels: C.
      data_range: ``(low, high)``.
      classes: names of the classes, sorted.
    """

    signals: Mapping[str, Sequence[CachedSignal]]
    channels: int
    data_range: tuple[float, float]
    classes: Sequence[str]


def open_signals(
    kind: Kind,
    members: Mapping[str, Sequence[Member]],
    options: Mapping[str, Any],
    recipe: Mapping[str, Any],
    data_dir: str | None,
) -> CachedSignals:
    """Open the signals of each split; decode them first if they are not in the cache.

    Args:
      kind: reads the files.
      members: files of each split.
      options: further arguments of `Kind.read`.
      recipe: everything that the signals depend on, JSON-serialisable; each recipe has its own folder.
      data_dir: see `cache_folder`.

    Raises:
      InputError: a file cannot be read, has other channels, axes or range than the first, or is too short for its
        stretch; the cache cannot be written to, or is damaged.
      RunError: the disk is full.
    """
    root = cache_folder(data_dir)
    folder = root / 'signals' / fingerprint({'schema': SCHEMA, **recipe})[:16]
    if not os.path.isdir(folder):
        with locked(root, folder.name):
            if not os.path.isdir(folder):
                _prepare(folder, kind, members, options)
    classes = sorted({member.label for files in members.values() for member in files if member.label is not None})
    with reading(folder):
        index = json.loads((folder / INDEX).read_text(encoding='utf-8'))
        channels, (low, high) = index['channels'], index['data_range']
        total = sum(math.prod(shape) for shape in index['shapes'])
        values = np.memmap(folder / VALUES, np.float32, 'r', shape=(total, channels))
        weights = np.memmap(folder / WEIGHTS, np.float32, 'r', shape=(total,)) if index['weighted'] else None
        places = iter(np.cumsum([0, *(math.prod(shape) for shape in index['shapes'])]).tolist())
        shapes = iter(index['shapes'])
        signals: dict[str, list[CachedSignal]] = {}
        for split, files in members.items():
            signals[split] = []
            for member in files:
                at, shape = next(places), tuple(next(shapes))
                rows = slice(at, at + math.prod(shape))
                label = None if member.label is None else classes.index(member.label)
                own = None if weights is None else weights[rows].reshape(shape)
                there = values[rows].reshape(*shape, channels)
                signals[split].append(CachedSignal(there, own, member.name, member.group, label))
    return CachedSignals(signals, channels, (low, high), classes)


def _prepare(folder: Path, kind: Kind, members: Mapping[str, Sequence[Member]], options: Mapping[str, Any]) -> None:
    """Decode all files into a folder, which gets its name when it is complete."""
    partial = folder.with_name(f'{folder.name}.partial')
    print(f'decoding {sum(map(len, members.values()))} files, once, into {folder}', file=sys.stderr)
    try:
        with disk_errors(folder):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            shapes: list[Sequence[int]] = []
            first: Signal | None = None
            weighted = False
            with (partial / VALUES).open('wb') as values, (partial / WEIGHTS).open('wb') as weights:
                for member in (member for files in members.values() for member in files):
                    signal = kind.read(member.file, **options)
                    first = first or signal
                    cut = _stretch(member, signal, first)
                    weight = np.ones(cut.grid_shape, np.float32) if cut.weight is None else cut.weight
                    weighted |= cut.weight is not None
                    np.ascontiguousarray(cut.values, np.float32).tofile(values)
                    np.ascontiguousarray(weight, np.float32).tofile(weights)
                    shapes.append(cut.grid_shape)
            assert first is not None
            index = {
                'shapes': shapes,
                'channels': first.values.shape[-1],
                'data_range': first.data_range,
                'weighted': weighted,
            }
            (partial / INDEX).write_text(json.dumps(index), encoding='utf-8')
            os.replace(partial, folder)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(partial)


def _stretch(member: Member, signal: Signal, first: Signal) -> Signal:
    """Return the stretch of a file's signal; refuse one unlike the first."""
    ours, theirs = ((len(each.grid_shape), each.values.shape[-1], each.data_range) for each in (signal, first))
    if ours != theirs:
        raise InputError(
            f'{str(member.file)!r} has {ours[0]} axes, {ours[1]} channels and the range {ours[2]}, the first file '
            f'{theirs[0]}, {theirs[1]} and {theirs[2]}; convert it, give channels or data_range, or move it away.'
        )
    if signal.coords is not None:
        raise InputError(f'{str(member.file)!r} holds scattered points, of which no parts are cut; use from_arrays.')
    begin, end = (round(fraction * signal.grid_shape[0]) for fraction in member.stretch)
    if begin >= end:
        raise InputError(f'{str(member.file)!r} is too short to be divided among the splits; give more files.')
    weight = None if signal.weight is None else signal.weight[begin:end]
    return signal._replace(values=signal.values[begin:end], weight=weight)
