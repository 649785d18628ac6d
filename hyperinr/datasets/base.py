"""The contract of a dataset: a specification, and splits that are read by position."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec

__all__ = [
    'SPLITS', 'ComputedSource', 'Dataset', 'Source', 'evenly_spaced', 'held_out', 'random_split', 'select', 'stack',
]  # fmt: skip

SPLITS = ('train', 'validation', 'test')


class Source(Protocol):
    """One split: datapoints by position, as float32 NumPy arrays.

    A read depends on nothing but its arguments, so that any number of threads and resumed runs see the same data.
    ``epoch=None`` returns the datapoint as it is stored. A number returns the variant of that epoch, which differs from
    the stored one only in a source that augments or resamples.

    Attributes:
      labels: ``[len]`` int32, the class of every datapoint, equal to the datapoints' ``label``; ``None`` without
        classes.
    """

    @property
    def labels(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Datapoint:
        """Return the datapoint as stored: ``coords [N, D]``, ``values [N, C]``, ``weight [N]``, ``index []``.

        Raises:
          IndexError: ``index`` outside [0, len).
        """
        ...

    def sample(self, index: int, epoch: int) -> Datapoint:
        """Return the variant of the datapoint in one epoch; the stored datapoint if the source does not vary."""
        ...

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        """Return the datapoints at ``indices [B]``, leaves ``[B, ...]``; ``epoch`` is one number for all, or ``[B]``.

        ``coords`` may be a read-only view that all datapoints share.
        """
        ...

    def image(self, index: int) -> np.ndarray:
        """Return the stored values as ``[*grid_shape, C]``; raise ValueError if the points are scattered."""
        ...

    def names(self, index: int) -> str:
        """Return a readable name of the datapoint's origin: ``'chelsea 120,40 96x96'``."""
        ...


class Dataset(NamedTuple):
    """Splits that share one specification.

    Attributes:
      spec: specification of all datapoints in all splits.
      splits: ``'train'``, ``'validation'`` and ``'test'``.
    """

    spec: DatasetSpec
    splits: Mapping[str, Source]


class ComputedSource:
    """Base class of sources that make their datapoints one by one. A subclass defines `read`, `names` and ``labels``.

    Args:
      count: number of datapoints.
      grid_shape: shape of the points' grid; ``None``: the points are scattered.
    """

    def __init__(self, count: int, grid_shape: Sequence[int] | None = None):
        self._count, self._grid_shape = count, grid_shape

    def read(self, index: int, epoch: int | None) -> Datapoint:
        """Return the datapoint at a position in the split, as stored (``None``) or in an epoch."""
        raise NotImplementedError

    def check(self, index: int) -> None:
        """Raise IndexError for a position outside the split."""
        if not 0 <= index < self._count:
            raise IndexError(f'position {index} lies outside a split of {self._count} datapoints.')

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Datapoint:
        self.check(index)
        return self.read(index, None)

    def sample(self, index: int, epoch: int) -> Datapoint:
        self.check(index)
        return self.read(index, epoch)

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        if epoch is None:
            return stack([self[int(index)] for index in indices])
        epochs = np.broadcast_to(epoch, len(indices)).tolist()
        return stack([self.sample(int(index), each) for index, each in zip(indices, epochs, strict=True)])

    def image(self, index: int) -> np.ndarray:
        if self._grid_shape is None:
            raise ValueError('these points lie on no grid, so they are no image; use `evaluate` at grid points.')
        return np.asarray(self[index].values).reshape(*self._grid_shape, -1)


def stack(datapoints: Sequence[Datapoint]) -> Datapoint:
    """Stack datapoints of equal shapes into one batch with leaves ``[B, ...]``.

    Raises:
      ValueError: no datapoints, or unequal shapes.
    """
    if not datapoints:
        raise ValueError('there are no datapoints to stack.')
    fields: list[Any] = [
        None if leaves[0] is None else np.stack([np.asarray(leaf) for leaf in leaves])
        for leaves in zip(*datapoints, strict=True)
    ]
    return Datapoint(*fields)


def held_out(datapoints: Datapoint) -> Datapoint:
    """Return the datapoints (any batch axes) with an ``index`` that marks them as not seen in training."""
    return datapoints._replace(index=-1 - np.asarray(datapoints.index))


def evenly_spaced(length: int, most: int) -> np.ndarray:
    """Return at most ``most`` positions in [0, length) at equal distances, ends included: ``[min(length, most)]``."""
    return np.linspace(0, length - 1, min(length, most)).round().astype(np.int64)


def random_split(count: int, sizes: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Return positions in [0, count) for each of `SPLITS`, in random order, none of them twice.

    Args:
      count: number of positions.
      sizes: sizes of the splits, together at most ``count``.
      seed: seed of the order.
    """
    order = np.random.default_rng(seed).permutation(count)[: sum(sizes)]
    return dict(zip(SPLITS, np.split(order, np.cumsum(sizes)[:-1]), strict=True))


def select(dataset: Dataset, split: str, num_datapoints: int) -> tuple[Datapoint, list[int]]:
    """Return datapoints spread evenly over a whole split, always the same ones.

    Args:
      dataset: dataset with this split.
      split: ``'train'``, ``'validation'`` or ``'test'``. The datapoints of the last two are `held_out`.
      num_datapoints: number wanted; the split may have fewer.

    Returns:
      The datapoints with leaves ``[B, ...]``, B = min(num_datapoints, len(split)), and their positions in the split.

    Raises:
      InputError: no such split, an empty split, or ``num_datapoints`` below 1.
    """
    if split not in dataset.splits:
        raise InputError(f'the dataset has no split {split!r}; it has {", ".join(dataset.splits)}.')
    source = dataset.splits[split]
    if num_datapoints < 1 or len(source) < 1:
        raise InputError(
            f'nothing to measure: num_datapoints is {num_datapoints} and the split {split!r} holds {len(source)}; both '
            'must be at least 1.'
        )
    positions = evenly_spaced(len(source), num_datapoints).tolist()
    chosen = stack([source[position] for position in positions])
    return chosen if split == 'train' else held_out(chosen), positions
