"""The signals of a neural dataset: chosen splits of a dataset as one sequence, and what identifies their content."""

import hashlib
from collections.abc import Sequence

import jax
import numpy as np

from hyperinr.datasets.base import Dataset, stack
from hyperinr.errors import InputError
from hyperinr.training.input_pipeline import check_batch
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['Signals']

NO_LABEL = -1
NUM_FINGERPRINTED = 16


class Signals:
    """Splits one after another; a signal's position in the sequence is its source index.

    Args:
      dataset: whose splits.
      splits: names, in order.

    Raises:
      InputError: a split that the dataset does not have, or one named twice.
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

    def __len__(self) -> int:
        return int(self._ends[-1])

    def batch(self, positions: Sequence[int] | np.ndarray) -> Datapoint:
        """Datapoints with leaves ``[B, ...]`` as stored, checked; ``index`` is the position in the sequence.

        Raises:
          InputError: values that are not finite or outside the data range; names the signal.
        """
        positions = np.asarray(positions, np.int64)
        parts: list[Datapoint | None] = [None] * len(positions)
        for number, source in enumerate(self._sources):
            begin = int(self._ends[number - 1]) if number else 0
            rows = np.flatnonzero((positions >= begin) & (positions < self._ends[number]))
            if len(rows):
                batch = source.batch(positions[rows] - begin)
                check_batch(batch, self.spec, source.names)
                for position, row in enumerate(rows):
                    parts[row] = jax.tree.map(lambda leaf, position=position: leaf[position], batch)
        found = [part for part in parts if part is not None]
        if len(found) != len(positions):
            raise IndexError(f'positions {positions.min()}..{positions.max()} lie outside {len(self)} signals.')
        return stack(found)._replace(index=positions.astype(np.int32))

    def labels(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """``[B]`` int32 classes; -1 where the source has none."""
        found = []
        for position in np.asarray(positions, np.int64):
            number, offset = self._locate(int(position))
            labels = getattr(self._sources[number], 'labels', None)
            found.append(NO_LABEL if labels is None else int(labels[offset]))
        return np.asarray(found, np.int32)

    def name(self, position: int) -> str:
        """Where a signal comes from, for a human."""
        number, offset = self._locate(position)
        return self._sources[number].names(offset)

    def probes(self, positions: Sequence[int] | np.ndarray, *, draw: int = 0) -> Datapoint | None:
        """Points with leaves ``[B, M, ...]`` that the volume of solids is measured at; ``None`` if there are no solids.

        Args:
          positions: in the sequence.
          draw: of the points: what was a target at one draw is measured independently at another.
        """
        if not all(hasattr(source, 'probe') for source in self._sources):
            return None
        found = []
        for position in np.asarray(positions, np.int64):
            number, offset = self._locate(int(position))
            found.append(self._sources[number].probe(offset, draw))  # type: ignore[attr-defined]
        return stack(found)

    def surface(self, position: int, count: int) -> np.ndarray | None:
        """Points ``[count, 3]`` on the surface of a solid; ``None`` if it is none."""
        number, offset = self._locate(position)
        draw = getattr(self._sources[number], 'surface', None)
        return None if draw is None else draw(offset, count)

    def fingerprint(self) -> str:
        """SHA-256 of the sizes of the splits and of some signals: other data under the same name have another one."""
        digest = hashlib.sha256(repr(self.splits).encode())
        positions = np.unique(np.linspace(0, len(self) - 1, min(NUM_FINGERPRINTED, len(self))).astype(int))
        batch = self.batch(positions)
        for leaf in (batch.coords, batch.values, batch.weight):
            digest.update(np.ascontiguousarray(leaf, np.float32).tobytes())
        return digest.hexdigest()

    def _locate(self, position: int) -> tuple[int, int]:
        number = int(np.searchsorted(self._ends, position, side='right'))
        return number, position - (int(self._ends[number - 1]) if number else 0)
