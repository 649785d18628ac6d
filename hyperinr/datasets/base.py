"""What a dataset is: a specification, and splits that are read by position."""

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
    ``epoch=None`` gives the datapoint as it is stored; a number gives the variant of that epoch, which differs from the
    stored one only in a source that augments or resamples.

    Attributes:
      labels: ``[len]`` int32, the class of every datapoint, which is also each one's ``label``; ``None`` without
        classes.
    """

    @property
    def labels(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Datapoint:
        """The datapoint as stored: ``coords [N, D]``, ``values [N, C]``, ``weight [N]``, ``index []``.

        Raises:
          IndexError: ``index`` outside [0, len).
        """
        ...

    def sample(self, index: int, epoch: int) -> Datapoint:
        """The variant of the datapoint in one epoch; `__getitem__` where nothing varies."""
        ...

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        """Datapoints at ``indices [B]`` with leaves ``[B, ...]``; ``epoch`` is one for all or ``[B]``.

        ``coords`` may be a read-only view that all datapoints share.
        """
        ...

    def image(self, index: int) -> np.ndarray:
        """The stored values as ``[*grid_shape, C]``; a ValueError where the points are scattered."""
        ...

    def names(self, index: int) -> str:
        """Where the datapoint comes from, for a human: ``'chelsea 120,40 96x96'``."""
        ...


class Dataset(NamedTuple):
    """Splits that share one specification.

    Attributes:
      spec: of every datapoint of every split.
      splits: ``'train'``, ``'validation'`` and ``'test'``.
    """

    spec: DatasetSpec
    splits: Mapping[str, Source]


class ComputedSource:
    """What sources share that make their datapoints one by one; a subclass gives `read`, `names` and ``labels``.

    Args:
      count: datapoints.
      grid_shape: of the points; ``None``: scattered.
    """

    def __init__(self, count: int, grid_shape: Sequence[int] | None = None):
        self._count, self._grid_shape = count, grid_shape

    def read(self, index: int, epoch: int | None) -> Datapoint:
        """The datapoint at a position within the split, as stored or in an epoch."""
        raise NotImplementedError

    def check(self, index: int) -> None:
        """Raises an IndexError for a position outside the split."""
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
            raise ValueError('these points lie on no grid, so they are no image; `evaluate` the source on a grid.')
        return np.asarray(self[index].values).reshape(*self._grid_shape, -1)


def stack(datapoints: Sequence[Datapoint]) -> Datapoint:
    """Datapoints of equal shapes as one batch with leaves ``[B, ...]``.

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
    """The same datapoints, of any batch axes, with an ``index`` that says that training does not see them."""
    return datapoints._replace(index=-1 - np.asarray(datapoints.index))


def evenly_spaced(length: int, most: int) -> np.ndarray:
    """At most ``most`` positions in [0, length), both ends among them, at equal distances: ``[min(length, most)]``."""
    return np.linspace(0, length - 1, min(length, most)).round().astype(np.int64)


def random_split(count: int, sizes: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Positions in [0, count) of each of `SPLITS`, in random order, none of them twice.

    Args:
      count: of all positions.
      sizes: of the splits, together at most ``count``.
      seed: of the order.
    """
    order = np.random.default_rng(seed).permutation(count)[: sum(sizes)]
    return dict(zip(SPLITS, np.split(order, np.cumsum(sizes)[:-1]), strict=True))


def select(dataset: Dataset, split: str, num_datapoints: int) -> tuple[Datapoint, list[int]]:
    """Return datapoints at equal distances over a whole split, always the same ones.

    Args:
      dataset: that has the split.
      split: ``'train'``, ``'validation'`` or ``'test'``; of the last two the datapoints are `held_out`.
      num_datapoints: wanted; the split may have fewer.

    Returns:
      The datapoints with leaves ``[B, ...]``, B = min(num_datapoints, len(split)), and their positions in the split.

    Raises:
      InputError: no such split, or no datapoint asked for or there.
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
