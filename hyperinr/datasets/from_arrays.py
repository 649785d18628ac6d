"""A dataset of your own arrays: grids of 1 to 4 axes, of one shape or of many, or values at scattered points."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from hyperinr import coordinates
from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_seed
from hyperinr.datasets.array_source import ArraySource
from hyperinr.datasets.arrays import Arrays, Scan, opened, scan, shapes_of
from hyperinr.datasets.base import SPLITS, Dataset, random_split
from hyperinr.datasets.folders import fingerprint
from hyperinr.errors import InputError
from hyperinr.kinds import kind_of
from hyperinr.types import DatasetSpec

__all__ = ['from_arrays']

SIGNED = (-1.0, 1.0)
AS_THEY_ARE = ((0.0, 1.0), SIGNED)
"""Ranges of values that are not mapped."""
SIGNED_KINDS = ('sound', 'signed_distance')
LEAST_WIDTH = 1e-30
"""Least width of a range that float32 resolves."""
DRAWN_FRACTION = 0.1
"""Share of the training signals that a split gets which is not given."""
logger = logging.getLogger(__name__)
Signals = Any
"""An array, a path, a list, a pair or `Arrays`, see `from_arrays`. Its errors explain what is wrong with another."""


@checked
def from_arrays(
    *,
    train: Signals,
    validation: Signals = None,
    test: Signals = None,
    data_range: tuple[float, float] | None = None,
    kind: str | None = None,
    spacing: tuple[float, ...] | None = None,
    layout: Literal['pixel_centres', 'sphere'] | None = None,
    seed: int = 0,
    name: str = 'arrays',
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of arrays, in memory or in ``.npy`` files.

    A split is one of

    - an array ``[n, *grid, C]`` of n signals on a grid of 1 to 4 axes, channels last;
    - a list of n arrays ``[*grid, C]`` of any shapes. Each lies on its own grid; where the shapes differ, signals are
      padded to one number of points by points of weight 0;
    - a pair ``(coords, values)`` of scattered points: coords ``[N, D]`` for all signals or ``[n, N, D]``, in [-1, 1],
      and values ``[n, N, C]``; or two lists of n arrays;
    - `Arrays`, the general form of these, with weights and labels.

    In place of an array there may be the path of a ``.npy`` file. It is mapped into memory: a signal is read when it is
    used. All values are read once, in blocks, for the range and the fingerprint.

    Values become numbers in a small range, see ``data_range``; `DatasetSpec.to_source_units` is the way back. A
    training value outside a given range is an error. In the other splits such values are kept and logged, not clipped:
    a metric then compares with what was measured.

    Args:
      train: training signals.
      validation: validation signals; ``None``: a tenth of the training signals, drawn at random, at least one.
      test: test signals; ``None``: as for ``validation``.
      data_range: ``(low, high)``, the values that become 0 and 1. With (0, 1) and (-1, 1) values stay as they are.
        ``None``: the range of the type for uint8, uint16 and bool; (0, 1) for floats within it, or (-1, 1) if ``kind``
        says sounds or signed distances; else the least and the greatest value of the training signals.
      kind: kind of the signals, one of `hyperinr.kinds.KINDS`, which other parts may read; ``None``: not known.
      spacing: distance of neighbouring samples along each axis of the grid, in the kind's unit; ``None``: not known.
      layout: where the samples of a grid lie, see `hyperinr.coordinates.grid`; ``None``: as the kind says, else pixel
        centres.
      seed: seed of the splits that are drawn.
      name: name of the dataset.
      data_dir: not used, since nothing is stored; every dataset takes it.

    Returns:
      A dataset with values in [0, 1], or in [-1, 1] for ``data_range=(-1, 1)``.

    Raises:
      InputError: arrays that do not fit together, hold no real numbers, are not finite where they count or constant, or
        too few signals to draw the other splits from.

    Example:
      >>> temperatures = np.linspace(250, 310, 5 * 8 * 8, dtype=np.float32).reshape(5, 8, 8, 1)
      >>> dataset = from_arrays(train=temperatures, data_range=(250, 310))
      >>> dataset.spec.grid_shape, dataset.spec.source_range, len(dataset.splits['train'])
      ((8, 8), (250.0, 310.0), 3)
    """
    del data_dir
    check_seed('from_arrays', seed)
    given = dict(zip(SPLITS, (train, validation, test), strict=True))
    found = {
        split: opened(f'from_arrays.{split}', each)
        for split, each in given.items()
        if each is not None or split == 'train'
    }
    known = None if kind is None else kind_of(Path(), kind)
    laid_out = layout or (known.layout if known else coordinates.PIXEL_CENTRES)
    shape = _common(found, laid_out)
    if known and known.num_axes not in (None, shape.axes):
        raise InputError(
            f'from_arrays.kind {kind!r} has a grid of {known.num_axes} axes, and these arrays have {shape.axes}.'
        )
    if spacing is not None and (len(spacing) != shape.axes or min(spacing) <= 0):
        raise InputError(f'from_arrays.spacing must be {shape.axes} numbers > 0, one for each axis, not {spacing}.')
    rows = _rows(found, seed)
    scans = {split: scan(f'from_arrays.{split}', arrays) for split, arrays in found.items()}
    usual = SIGNED if kind in SIGNED_KINDS else (0.0, 1.0)
    source_range = _range(found['train'].values, scans['train'], rows['train'], data_range, usual)
    for split in SPLITS[1:]:
        _note_outside(split, scans.get(split, scans['train']), rows[split], source_range)
    as_they_are = source_range in AS_THEY_ARE
    spec = DatasetSpec(
        name=name,
        grid_shape=shape.grid,
        num_points=shape.num_points,
        coord_dims=shape.coord_dims,
        channels=shape.channels,
        data_range=source_range if as_they_are else (0.0, 1.0),
        num_datapoints=len(rows['train']),
        num_labels=shape.num_labels,
        kind=kind,
        layout=laid_out,
        spacing=None if spacing is None else tuple(map(float, spacing)),
        source_range=None if as_they_are else source_range,
    )
    splits = {
        split: ArraySource(found.get(split, found['train']), rows[split], spec, split if split in found else 'train')
        for split in SPLITS
    }
    content = [(scans.get(split, scans['train']).sha256, rows[split].tolist()) for split in SPLITS]
    return Dataset(spec, splits, fingerprint([content, source_range, laid_out]))


class _Common(NamedTuple):
    """What all signals have in common: the number of axes, the shape of the grid (or ``None``), N, D, C and classes."""

    axes: int
    grid: tuple[int, ...] | None
    num_points: int
    coord_dims: int
    channels: int
    num_labels: int | None


def _common(found: Mapping[str, Arrays], layout: str) -> _Common:
    """Compare the shapes of the splits.

    Raises:
      InputError: they differ in more than the sizes of listed signals, some have labels and others not, or the grid
        does not go with the layout.
    """
    shapes = {split: set(shapes_of(arrays.values)) for split, arrays in found.items()}
    everything = set().union(*shapes.values())
    first = next(iter(shapes['train']))
    for split in found:
        other = next(iter(shapes[split]))
        differs = isinstance(found['train'].values, np.ndarray) and shapes[split] != shapes['train']
        if differs or (len(other), other[-1]) != (len(first), first[-1]):
            raise InputError(
                f'from_arrays.{split} has signals of shape {other} and from_arrays.train of {first}: bring them to one '
                'shape; training signals in a list, [*grid, C] each, may differ in the sizes of the grid.'
            )
    dims = {
        coordinates.dims(first[:-1], layout) if arrays.coords is None else arrays.coords[0].shape[-1]
        for arrays in found.values()
    }
    if len(dims) > 1:
        raise InputError(f'the splits of from_arrays have {sorted(dims)} coordinates a point; give all the same.')
    on_grid = all(arrays.coords is None for arrays in found.values())
    if layout == coordinates.SPHERE:
        grids = [shape[:-1] for split in found if found[split].coords is None for shape in shapes[split]]
        wrong = [grid for grid in grids if len(grid) != 2 or grid[0] < 2]
        if wrong or dims != {3}:
            raise InputError(
                "from_arrays.layout 'sphere' needs grids (latitudes >= 2, longitudes), or the 3 coordinates of a point "
                f'that coordinates.on_sphere gives, not {wrong[0] if wrong else f"{dims.pop()} coordinates"}.'
            )
    labels = [arrays.labels for arrays in found.values()]
    if any(each is None for each in labels) and any(each is not None for each in labels):
        raise InputError('some splits of from_arrays have labels and others not: give them for all or none.')
    return _Common(
        axes=len(first) - 1,
        grid=first[:-1] if on_grid and len(everything) == 1 else None,
        num_points=max(math.prod(shape[:-1]) for shape in everything),
        coord_dims=dims.pop(),
        channels=first[-1],
        num_labels=None if labels[0] is None else 1 + max(int(each.max()) for each in labels),
    )


def _rows(found: Mapping[str, Arrays], seed: int) -> dict[str, np.ndarray]:
    """Return the rows of each split: all of those that are given, and drawn ones of ``train``."""
    count = len(found['train'].values)
    sizes = [0 if split in found else max(1, round(DRAWN_FRACTION * count)) for split in SPLITS]
    sizes[0] = count - sum(sizes)
    if sizes[0] < 1:
        missing = ' and '.join(split for split in SPLITS if split not in found)
        raise InputError(
            f'from_arrays.train has {count} signals, too few to draw {missing} from them; give at least '
            f'{len(SPLITS) - len(found) + 1} signals, or those splits as well.'
        )
    drawn = random_split(count, sizes, seed) if len(found) < len(SPLITS) else {'train': np.arange(count)}
    return {split: drawn['train'] if split == 'train' else np.arange(len(found[split].values)) if split in found
            else drawn[split] for split in SPLITS}  # fmt: skip


def _range(
    values: Any, found: Scan, rows: np.ndarray, given: tuple[float, float] | None, usual: tuple[float, float]
) -> tuple[float, float]:
    """Return the values that become the ends of the data range.

    Raises:
      InputError: the given range is none or does not hold the training values, or all of these are the same.
    """
    least, greatest = float(found.least[rows].min()), float(found.greatest[rows].max())
    if given is not None:
        low, high = map(float, given)
        if not low < high:
            raise InputError(
                f'from_arrays.data_range must be (low, high) with low below high, not ({low:g}, {high:g}).'
            )
        slack = 1e-6 * (high - low)
        if least < low - slack or greatest > high + slack:
            raise InputError(
                f'from_arrays.train has values from {least:g} to {greatest:g}, and data_range is ({low:g}, {high:g}): '
                'widen it, or clip the values.'
            )
        return low, high
    if greatest - least < LEAST_WIDTH:
        raise InputError(f'every value of from_arrays.train is {least:g}; give a data_range if that is right.')
    types = {each.dtype for each in ([values] if isinstance(values, np.ndarray) else values)}
    if types <= {np.dtype(np.uint8), np.dtype(np.uint16)}:
        return 0.0, float(max(np.iinfo(each).max for each in types))
    is_usual = all(each.kind in 'bf' for each in types) and least >= usual[0] and greatest <= usual[1]
    return usual if is_usual else (least, greatest)


def _note_outside(split: str, found: Scan, rows: np.ndarray, source_range: tuple[float, float]) -> None:
    least, greatest = found.least[rows].min(), found.greatest[rows].max()
    low, high = source_range
    if least < low or greatest > high:
        logger.warning(
            'from_arrays: %s has values from %g to %g, outside the range %g to %g of the training data; they are kept.',
            split, least, greatest, low, high,
        )  # fmt: skip
