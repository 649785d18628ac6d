"""A dataset of parts of the user's own files, of any one kind: windows of sounds, cubes of volumes or video clips."""

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from hyperinr import coordinates
from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_counts, check_fractions
from hyperinr.datasets.base import SPLITS, Dataset, Source
from hyperinr.datasets.folders import fingerprint
from hyperinr.datasets.signal_cache import CachedSignal, open_signals
from hyperinr.datasets.signal_splits import contents, find_files, split_files
from hyperinr.errors import InputError
from hyperinr.files.file_values import check_data_range
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['signal_folder']

MOST_DRAWS = 32
"""Positions that are tried for a part with ``least_deviation``."""


@checked
def signal_folder(
    *,
    path: str | os.PathLike | None = None,
    kind: str | None = None,
    shape: Sequence[int] = (),
    validation_path: str | os.PathLike | None = None,
    test_path: str | os.PathLike | None = None,
    groups: str | None = None,
    labels: str | None = None,
    num_train: int = 20_000,
    num_validation: int = 256,
    num_test: int = 256,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: Sequence[float] | None = None,
    least_deviation: float = 0.0,
    seed: int = 0,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of parts of one size, cut from files at random; a shorter signal is padded with weight 0.

    No file is in two splits, and no group of files. Sub-folders ``train``, ``validation`` and ``test`` of ``path`` are
    the splits. Otherwise whole groups are drawn at random for each split that has no path of its own. Where ``path``
    holds too few groups for that, each split gets a stretch of every file along its first axis: training the first,
    then validation and test, so that parts of two splits share no sample.

    A part of a signal is drawn uniformly among all positions. Member i of a split depends on ``seed`` and i; a training
    part also on the epoch, so that training sees ever new parts. The cache keeps the signals as float32.

    Args:
      path: folder, or one file.
      kind: name of a kind in `hyperinr.kinds.KINDS`; ``None``: by the suffix of the first file.
      shape: samples of a part along each axis.
      validation_path: folder or file of the validation split.
      test_path: folder or file of the test split.
      groups: regular expression with one group, searched in the path of each file below its folder: files with the same
        match are one group, ``r'_([a-z]+)_'`` for the speakers of ``3_theo_7.wav``. ``None``: each file is one.
      labels: regular expression with one group that gives the class, ``r'(\\d)_'``; ``None``: no classes.
      num_train: number of parts in an epoch.
      num_validation: number of parts.
      num_test: number of parts.
      validation_fraction: of the groups, in (0, 1); at least one.
      test_fraction: of the groups, in (0, 1); at least one.
      channels: channels of every signal; ``None``: those of the first file.
      data_range: values of the files that become the ends of the kind's range, see `hyperinr.kinds.base.Read`.
      spacing: distance of neighbouring samples along each axis, to which every file is resampled: ``(1 / 8000,)``
        seconds for sounds of 8 kHz. ``None``: each file keeps its own.
      least_deviation: least standard deviation of a part's values, in units of the range. Others are drawn again:
        silence and the air around a head are reconstructed exactly, and would flatter every mean of PSNRs.
      seed: seed of the splits and parts.
      data_dir: see `hyperinr.datasets.cache_folder`.

    Raises:
      InputError: no such folder or file, too few files, a file that cannot be read or has other axes or channels, or an
        argument outside its range.
    """
    size = tuple(shape)
    if not all(type(each) is int and each >= 1 for each in size):
        raise InputError(f'signal_folder.shape must be whole numbers >= 1, like (16, 16), not {size}.')
    if channels is not None and channels < 1:
        raise InputError(f'signal_folder.channels must be at least 1, not {channels}.')
    counts = check_counts('signal_folder', num_train, num_validation, num_test, seed=seed)
    check_fractions('signal_folder', validation_fraction, test_fraction)
    if not 0 <= least_deviation < 0.5:
        raise InputError(f'signal_folder.least_deviation must be in [0, 0.5), not {least_deviation}.')
    folders, found = find_files({'train': path, 'validation': validation_path, 'test': test_path}, kind)
    if len(size) != (found.num_axes or len(size)) or not size or found.layout != coordinates.PIXEL_CENTRES:
        axes = f'{found.num_axes or "all"} axes of a {found.name}'
        raise InputError(f'signal_folder.shape must be the samples of a part along {axes}, like (16, 16), not {size}.')
    fractions = {'validation': validation_fraction, 'test': test_fraction}
    members = split_files(folders, groups, labels, fractions, seed)
    options: dict[str, Any] = {
        'channels': channels,
        'data_range': check_data_range('signal_folder.data_range', data_range),
        'spacing': None if spacing is None else tuple(map(float, spacing)),
    }
    recipe = {'kind': found.name, **options, 'parts': contents(members, folders, data_dir)}
    cached = open_signals(found, members, options, recipe, data_dir)
    low, high = cached.data_range
    sources = {
        split: _Parts(
            cached.signals[split],
            size,
            counts[split],
            key=(seed, number),
            varies=split == 'train',
            deviation=least_deviation * (high - low),
        )
        for number, split in enumerate(SPLITS)
    }
    spec = DatasetSpec(
        name='signal_folder',
        grid_shape=size,
        num_points=math.prod(size),
        coord_dims=len(size),
        channels=cached.channels,
        data_range=(low, high),
        num_datapoints=num_train,
        num_labels=len(cached.classes) or None,
        kind=found.name,
        layout=found.layout,
        spacing=options['spacing'],
        source_range=options['data_range'],
    )
    asked = {**recipe, 'shape': size, 'counts': counts, 'seed': seed, 'least_deviation': least_deviation}
    return Dataset(spec, sources, fingerprint(asked))


class _Parts(Source):
    """Parts of signals, drawn at random."""

    def __init__(
        self,
        signals: Sequence[CachedSignal],
        shape: tuple[int, ...],
        count: int,
        *,
        key: tuple[int, int],
        varies: bool,
        deviation: float,
    ):
        super().__init__(count, shape)
        self._signals, self._shape, self._key, self._varies, self._deviation = signals, shape, key, varies, deviation
        self._coords = coordinates.grid(shape)
        places = np.array([math.prod(self._free(signal)) for signal in signals], np.float64)
        self._odds = places / places.sum()

    def _free(self, signal: CachedSignal) -> list[int]:
        """Return the number of positions along each axis."""
        return [max(1, n - size + 1) for n, size in zip(signal.shape, self._shape, strict=True)]

    def _draw(self, index: int, epoch: int | None) -> tuple[CachedSignal, tuple[int, ...], np.ndarray, np.ndarray]:
        """Return a signal, a position in it, and the values ``[*shape, C]`` and weights ``[*shape]`` there."""
        rng = np.random.default_rng([*self._key, index, *([] if epoch is None or not self._varies else [1 + epoch])])
        for _ in range(MOST_DRAWS):
            signal = self._signals[rng.choice(len(self._signals), p=self._odds)]
            start = tuple(int(rng.integers(free)) for free in self._free(signal))
            values, weight = signal.part(start, self._shape)
            if self._deviation == 0 or values[weight > 0].std() >= self._deviation:
                break
        return signal, start, values, weight

    @functools.cached_property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        if self._signals[0].label is None:
            return None
        return np.array([self._draw(index, None)[0].label for index in range(len(self))], np.int32)

    def read(self, index: int, epoch: int | None) -> Datapoint:
        signal, _, values, weight = self._draw(index, epoch)
        label = None if signal.label is None else np.asarray(signal.label, np.int32)
        points = len(self._coords)
        return Datapoint(
            self._coords, values.reshape(points, -1), weight.reshape(points), np.asarray(index, np.int32), label
        )

    def names(self, index: int) -> str:
        self.check(index)
        signal, start, *_ = self._draw(index, None)
        return f'{signal.name} {",".join(map(str, start))}'

    def origin(self, index: int) -> str:
        self.check(index)
        return self._draw(index, None)[0].group
