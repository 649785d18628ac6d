"""The contract of a dataset: a specification, and splits that are read by position."""

import abc
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['LOCATIONS', 'SPLITS', 'Dataset', 'Source', 'evenly_spaced', 'random_split', 'select', 'stack']

SPLITS = ('train', 'validation', 'test')
LOCATIONS = ('path', 'validation_path', 'test_path', 'data_dir', 'train', 'validation', 'test')
"""Arguments of dataset factories that say where data lie, not which: runs and stores compare `Dataset.fingerprint`."""


class Source(abc.ABC):
    """One split: datapoints by position, as float32 NumPy arrays.

    A subclass defines `names`, and `read` or `batch`. A read depends on nothing but its arguments, so that any number
    of threads and resumed runs see the same data. ``epoch=None`` returns the datapoint as it is stored. A number
    returns the variant of that epoch, which differs from the stored one only in a source that augments or resamples.

    Args:
      count: number of datapoints.
      grid_shape: shape of the points' grid; ``None``: the points are scattered.

    Attributes:
      labels: ``[len]`` int32, the class of every datapoint, equal to the datapoints' ``label``; ``None`` without
        classes.
    """

    labels: np.ndarray | None = None

    def __init__(self, count: int, grid_shape: Sequence[int] | None = None):
        self._count, self._grid_shape = count, grid_shape

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Datapoint:
        """Return the datapoint as stored: ``coords [N, D]``, ``values [N, C]``, ``weight [N]``, ``index []``.

        Raises:
          IndexError: ``index`` outside [0, len).
        """
        return self.sample(index, None)

    def sample(self, index: int, epoch: int | None) -> Datapoint:
        """Return the variant of the datapoint in one epoch; the stored datapoint if the source does not vary."""
        self.check(index)
        return self.read(index, epoch)

    def read(self, index: int, epoch: int | None) -> Datapoint:
        """Return the datapoint at a position in the split, as stored (``None``) or in an epoch."""
        return jax.tree.map(lambda leaf: leaf[0], self.batch([index], epoch))

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        """Return the datapoints at ``indices [B]``, leaves ``[B, ...]``; ``epoch`` is one number for all, or ``[B]``.

        ``coords`` may be a read-only view that all datapoints share.
        """
        epochs = np.broadcast_to(np.asarray(epoch), len(indices)).tolist()
        return stack([self.sample(int(index), each) for index, each in zip(indices, epochs, strict=True)])

    def image(self, index: int) -> np.ndarray:
        """Return the stored values as ``[*grid_shape, C]``; raise ValueError if the points are scattered."""
        if self._grid_shape is None:
            raise ValueError('these points lie on no grid, so they are no image; use `evaluate` at grid points.')
        return np.asarray(self[index].values).reshape(*self._grid_shape, -1)

    @abc.abstractmethod
    def names(self, index: int) -> str:
        """Return a readable name of the datapoint's origin: ``'chelsea 120,40 96x96'``."""

    def origin(self, index: int) -> str:
        """Return what datapoints share that are not independent, such as the photograph of a crop; else the name."""
        return self.names(index)

    def check(self, index: int) -> None:
        """Raise IndexError for a position outside the split."""
        if not 0 <= index < self._count:
            raise IndexError(f'position {index} lies outside a split of {self._count} datapoints.')


class Dataset(NamedTuple):
    """Splits that share one specification.

    Attributes:
      spec: specification of all datapoints in all splits.
      splits: ``'train'``, ``'validation'`` and ``'test'``.
      fingerprint: SHA-256, hexadecimal, of what the data depend on, wherever they lie; ``''``: not known, so that data
        elsewhere count as other data.
    """

    spec: DatasetSpec
    splits: Mapping[str, Source]
    fingerprint: str = ''


def stack(datapoints: Sequence[Datapoint]) -> Datapoint:
    """Stack datapoints of equal shapes into one batch with leaves ``[B, ...]``.

    Raises:
      ValueError: no datapoints, or unequal shapes.
    """
    if not datapoints:
        raise ValueError('there are no datapoints to stack.')
    return jax.tree.map(lambda *leaves: np.stack(leaves), *datapoints)


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
      split: ``'train'``, ``'validation'`` or ``'test'``. Those of ``'train'`` have a ``row``.
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
    return chosen._replace(row=chosen.index) if split == 'train' else chosen, positions
