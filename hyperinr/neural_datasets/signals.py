"""The signals of a neural dataset: chosen splits of a dataset as one sequence, with a fingerprint of their content."""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from hyperinr.datasets.base import Dataset, stack
from hyperinr.errors import InputError
from hyperinr.kinds.solids import is_solid
from hyperinr.training.input_pipeline import check_batch
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['Signals']

NO_LABEL = -1
NUM_FINGERPRINTED = 16


class Signals:
    """A sequence of the signals of several splits. A signal's position in it is its source index.

    Args:
      dataset: the dataset.
      splits: names of splits, in order.

    Raises:
      InputError: the dataset lacks a split, or a split is named twice.
    """

    def __init__(self, dataset: Dataset, splits: Sequence[str]):
        missing = [name for name in splits if name not in dataset.splits]
        if missing or not splits or len(set(splits)) != len(splits):
            raise InputError(
                f'splits {tuple(splits)} must be some of {", ".join(dataset.splits)}, each once; '
                f'{dataset.spec.name!r} has no others.'
            )
        self.spec: DatasetSpec = dataset.spec
        self._sources = [dataset.splits[name] for name in splits]
        self._ends = np.cumsum([len(source) for source in self._sources])
        self.splits = [(name, len(source)) for name, source in zip(splits, self._sources, strict=True)]
        self.version = str(getattr(dataset, 'version', '') or getattr(self._sources[0], 'version', ''))
        self.dataset_fingerprint = dataset.fingerprint

    def __len__(self) -> int:
        return int(self._ends[-1])

    def batch(self, positions: Sequence[int] | np.ndarray) -> Datapoint:
        """Return checked datapoints with leaves ``[B, ...]`` as stored. ``index`` is the position in the sequence.

        ``row`` is the position in the split ``train``, -1 for signals of other splits.

        Raises:
          InputError: a value is not finite or lies outside the data range; the message names the signal.
        """
        positions = np.asarray(positions, np.int64)
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(f'positions {positions.min()}..{positions.max()} lie outside {len(self)} signals.')
        numbers = np.searchsorted(self._ends, positions, side='right')
        batches = []
        for number in np.unique(numbers):
            source = self._sources[number]
            batch = source.batch(positions[numbers == number] - self._ends[number] + len(source))
            check_batch(batch, self.spec, source.names)
            seen = self.splits[number][0] == 'train'
            batches.append(batch._replace(row=batch.index if seen else np.full_like(batch.index, -1)))
        order = np.argsort(np.argsort(numbers, kind='stable'))
        found: Datapoint = jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *batches)
        return found._replace(index=positions.astype(np.int32))

    def labels(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the classes ``[B]`` int32; -1 for a signal without one."""
        found = []
        for source, offset in map(self._locate, positions):
            labels = getattr(source, 'labels', None)
            found.append(NO_LABEL if labels is None else int(labels[offset]))
        return np.asarray(found, np.int32)

    def probes(self, positions: Sequence[int] | np.ndarray, *, draw: int = 0) -> Datapoint | None:
        """Draw points with leaves ``[B, M, ...]`` at which the IoU of solids is measured; ``None`` without solids.

        Solids on a grid have their grid only.

        Args:
          positions: positions in the sequence.
          draw: number of the draw. A target of a fit at one draw is measured independently at another.
        """
        if not all(hasattr(source, 'probe') for source in self._sources):
            return self.batch(positions) if self.spec.grid_shape and is_solid(self.spec) else None
        return stack([source.probe(offset, draw) for source, offset in map(self._locate, positions)])

    def surface(self, position: int, count: int) -> np.ndarray | None:
        """Draw points ``[count, 3]`` on the surface of a solid; ``None`` for another signal."""
        source, offset = self._locate(position)
        draw = getattr(source, 'surface', None)
        return None if draw is None else draw(offset, count)

    def fingerprint(self) -> str:
        """Return a SHA-256 of the splits' sizes and of some signals, which detects other data under the same name."""
        digest = hashlib.sha256(repr(self.splits).encode())
        positions = np.unique(np.linspace(0, len(self) - 1, min(NUM_FINGERPRINTED, len(self))).astype(int))
        batch = self.batch(positions)
        for leaf in (batch.coords, batch.values, batch.weight):
            digest.update(np.ascontiguousarray(leaf, np.float32).tobytes())
        return digest.hexdigest()

    def _locate(self, position: int | np.integer) -> tuple[Any, int]:
        """Return the source of a position, and the index in that source."""
        number = int(np.searchsorted(self._ends, position, side='right'))
        source = self._sources[number]
        return source, int(position - self._ends[number]) + len(source)
