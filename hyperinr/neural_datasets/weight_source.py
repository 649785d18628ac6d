"""A store as a source of datapoints for this library's loaders, and as a data source in the style of tfds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyperinr import coordinates
from hyperinr.datasets.base import Dataset, Source
from hyperinr.errors import InputError
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['ExampleSource', 'WeightSource', 'weight_dataset']


class WeightSource(Source):
    """A `hyperinr.datasets.Source` whose signals are weight vectors.

    A datapoint has one point for each weight. The coordinate is the position in the flat vector
    (`coordinates.grid((P,))`), the value is the standardised weight.

    Args:
      store: store to read from.
      rows: rows of the store, in this order.
      mean: ``[P]``, subtracted from the weights.
      scale: ``[P]`` > 0, divides the difference.
    """

    def __init__(self, store: NeuralDataset, rows: np.ndarray, *, mean: np.ndarray, scale: np.ndarray):
        super().__init__(len(rows), (len(mean),))
        self._store = store
        self._rows = np.asarray(rows, np.int64)
        self._mean, self._scale = mean, scale
        self._coords = coordinates.grid((len(mean),))
        labels = store.column('label')[self._rows]
        self.labels = None if (labels < 0).any() else labels.astype(np.int32)

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        del epoch
        indices = np.asarray(indices, np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f'positions {indices.min()}..{indices.max()} lie outside {len(self)} INRs.')
        values = (self._store.weights(self._rows[indices]) - self._mean) / self._scale
        size, num_points = values.shape
        return Datapoint(
            coords=np.broadcast_to(self._coords, (size, num_points, 1)),
            values=values[..., None],
            weight=np.ones((size, num_points), np.float32),
            index=indices.astype(np.int32),
            label=None if self.labels is None else self.labels[indices],
        )

    def names(self, index: int) -> str:
        row = self._rows[index]
        return f'INR {self._store.column("index")[row]} of {self._store.folder.name}'


def weight_dataset(
    store: NeuralDataset,
    *,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
    standardise: bool = True,
) -> Dataset:
    """Make a `Dataset` of the INRs with status ``'ok'``, split by signal.

    Args:
      store: store to read from.
      fractions: split -> share; by default 80, 10 and 10 % for train, validation and test.
      seed: seed of the splits.
      standardise: whether to subtract the mean and divide by the standard deviation of each weight over the training
        split.

    Returns:
      A dataset with P points, 1 coordinate and 1 channel. Its data range is the range of all its values.

    Raises:
      InputError: a split would be empty, or there is none of the name ``'train'``.
    """
    shares = {'train': 0.8, 'validation': 0.1, 'test': 0.1} if fractions is None else fractions
    rows = store.split(shares, seed=seed, rows=store.where(status='ok'))
    empty = [name for name, chosen in rows.items() if len(chosen) == 0]
    if empty:
        raise InputError(f'split {empty[0]!r} of {store.folder} would be empty: {len(store)} INRs are too few for it.')
    if 'train' not in rows:
        raise InputError(f"fractions of {store.folder} need a share for 'train', not only {', '.join(rows)}.")
    first = store.weights(rows['train'])
    num_weights = first.shape[1]
    mean, scale = np.zeros(num_weights, np.float32), np.ones(num_weights, np.float32)
    if standardise:
        mean, scale = first.mean(axis=0), first.std(axis=0)
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
    sources = {name: WeightSource(store, chosen, mean=mean, scale=scale) for name, chosen in rows.items()}
    low, high = np.inf, -np.inf
    for source in sources.values():
        for begin in range(0, len(source), 1024):
            values = source.batch(np.arange(begin, min(begin + 1024, len(source)))).values
            low, high = min(low, float(np.min(values))), max(high, float(np.max(values)))
    spec = DatasetSpec(store.folder.name, (num_weights,), num_weights, 1, 1, (low, high))
    return Dataset(spec, sources)


class ExampleSource:
    """A random-access source in the style of ``tfds.data_source``.

    ``source[i]`` is a dictionary, and ``source.__getitems__`` returns a list of them. grain, PyTorch's ``DataLoader``
    and tfds's own readers accept it. Pickling it stores the path and the rows, and no weights.

    Args:
      store: store to read from.
      rows: rows of the store, in this order; ``None``: all.
    """

    def __init__(self, store: NeuralDataset, rows: np.ndarray | None = None):
        self._store = store
        self._rows = np.arange(len(store)) if rows is None else np.asarray(rows, np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``{'weights': [P], 'label': ..., 'source_index': ..., 'seed': ..., 'psnr_db': ...}``."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        rows = self._rows[np.asarray(indices, np.int64)]
        weights = self._store.weights(rows)
        columns = {name: self._store.column(name)[rows] for name in ('label', 'source_index', 'seed', 'psnr_db')}
        return [
            {'weights': weights[row], **{name: column[row] for name, column in columns.items()}}
            for row in range(len(rows))
        ]
