"""Reading a neural dataset: rows of weights by position, their columns, filters, and splits by signal.

Letters: ``n`` INRs asked for, ``P`` weights of one, ``R`` INRs that the store holds.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr import inrs
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import START_KINDS, STATUSES, Description, read_description
from hyperinr.neural_datasets.shards import COLUMNS, list_shards, map_shard, shard_path
from hyperinr.types import Inr, InrWeights

__all__ = ['NeuralDataset', 'open_store']

MAX_MAPPED = 2**14
"""Shards mapped at once; a process may have some 65,000 mappings."""


def open_store(folder: str | os.PathLike) -> 'NeuralDataset':
    """Open a store, complete or not.

    Raises:
      InputError: no store there, or a shard that is cut short or overlaps another.

    Example:
      >>> store = open_store('digits')  # doctest: +SKIP
      >>> good = store.where(status='ok', label=(3, 8))  # doctest: +SKIP
      >>> store.weights(good[:100]).shape  # doctest: +SKIP
      (100, 8513)
    """
    return NeuralDataset(folder)


class NeuralDataset:
    """The INRs of a store, numbered by rows 0 ... R - 1 in the order of their index.

    Shards are mapped into memory when they are first asked for; nothing is read but what is looked at.

    Args:
      folder: of the store.

    Attributes:
      folder: the path.
      description: content of ``dataset.json``.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.description: Description = read_description(folder)
        self._ranges = list_shards(folder)
        for before, after in zip(self._ranges[:-1], self._ranges[1:], strict=True):
            if before[1] > after[0]:
                raise InputError(
                    f'{shard_path(folder, *before)} and {shard_path(folder, *after)} overlap; see `hyperinr verify`.'
                )
        self._ends = np.cumsum([end - begin for begin, end in self._ranges], dtype=np.int64)
        self._mapped: dict[int, dict[str, np.ndarray]] = {}
        self._columns: dict[str, np.ndarray] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process opens the folder again; no weights are sent."""
        return NeuralDataset, (self.folder,)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def inr(self) -> Inr:
        """The INR that evaluates the weights."""
        return inrs.from_metadata(self.description.inr)

    def weights(self, rows: Sequence[int] | np.ndarray | slice | None = None) -> np.ndarray:
        """Return ``[n, P]`` float32 of these rows in this order; all of them by default.

        Raises:
          IndexError: a row outside [0, R).
        """
        if rows is None or isinstance(rows, slice):
            rows = np.arange(len(self))[rows or slice(None)]
        rows = np.asarray(rows, np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f'rows {rows.min()}..{rows.max()} lie outside the {len(self)} INRs of {self.folder}.')
        result = np.empty((len(rows), weights_lib.count(self.description.weights)), np.float32)
        shards = np.searchsorted(self._ends, rows, side='right')
        # Runs of rows that follow each other in one shard are copied at once, straight from the mapped file.
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(shards) != 0)) + 1
        for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
            if first == last:
                continue
            shard = int(shards[first])
            tensor = self._shard(shard)['weights']
            begin = int(rows[first] - self._ends[shard]) + len(tensor)
            result[first:last] = tensor[begin : begin + last - first]
        return result

    def pytrees(self, rows: Sequence[int] | np.ndarray | slice | None = None) -> InrWeights:
        """Return the same as weight pytrees with leaves ``[n, *shape]``."""
        return weights_lib.unflatten(self.weights(rows), self.description.weights)

    def column(self, name: str) -> np.ndarray:
        """Return ``[R]``, one value of every INR.

        Raises:
          InputError: there is no such column.
        """
        if name not in COLUMNS:
            raise InputError(f'no column {name!r}; there are {", ".join(COLUMNS)}.')
        if name not in self._columns:
            parts = [np.asarray(self._shard(shard)[name]) for shard in range(len(self._ranges))]
            self._columns[name] = np.concatenate(parts) if parts else np.zeros(0, COLUMNS[name])
        return self._columns[name]

    def where(self, *, min_psnr_db: float | None = None, min_iou: float | None = None, **conditions: Any) -> np.ndarray:
        """Return the rows ``[n]`` that satisfy all conditions.

        Args:
          min_psnr_db: least PSNR.
          min_iou: least intersection over union; what is no solid has none.
          **conditions: column -> a value or several of which one must hold; ``status`` and ``start`` by name.

        Raises:
          InputError: no such column, status or kind of start.

        Example:
          >>> store.where(label=(3, 8), seed=0, status='ok')  # doctest: +SKIP
        """
        keep = np.ones(len(self), bool)
        if min_psnr_db is not None:
            keep &= self.column('psnr_db') >= min_psnr_db
        if min_iou is not None:
            keep &= self.column('iou') >= min_iou
        for name, wanted in conditions.items():
            values = [wanted] if isinstance(wanted, str) or np.ndim(wanted) == 0 else list(wanted)
            codes = {'status': STATUSES, 'start': START_KINDS}.get(name, ())
            unknown = [value for value in values if isinstance(value, str) and value not in codes]
            if unknown:
                raise InputError(f'{name} {unknown[0]!r} is none of {", ".join(codes) or "the numbers it holds"}.')
            numbers = [codes.index(value) if isinstance(value, str) else value for value in values]
            keep &= np.isin(self.column(name), numbers)
        return np.flatnonzero(keep)

    def split(
        self, fractions: Mapping[str, float], *, seed: int = 0, rows: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Divide rows at random, all seeds of a signal into the same split.

        A signal's split depends on its source index and ``seed`` alone: a store that is still growing, or another
        choice of rows, never moves a signal from one split to another.

        Args:
          fractions: name -> share of the signals, summing to 1.
          seed: of the assignment, >= 0.
          rows: to divide; ``None``: all.

        Returns:
          Name -> ascending rows.

        Raises:
          InputError: fractions that do not sum to 1 or are negative.
        """
        shares = np.asarray(list(fractions.values()), float)
        if shares.size == 0 or shares.min() < 0 or abs(shares.sum() - 1) > 1e-6:
            raise InputError(f'fractions {dict(fractions)} must be >= 0 and sum to 1.')
        rows = np.arange(len(self)) if rows is None else np.sort(np.asarray(rows, np.int64))
        order = np.random.default_rng((seed, self.description.num_signals)).permutation(self.description.num_signals)
        edges = np.round(np.cumsum(shares) * self.description.num_signals)
        part = np.searchsorted(edges, order[self.column('source_index')[rows]], side='right')
        part = np.minimum(part, len(shares) - 1)
        return {name: rows[part == number] for number, name in enumerate(fractions)}

    def missing(self) -> list[tuple[int, int]]:
        """Return ``(start, end)`` of the shards that are still to be fitted."""
        there = set(self._ranges)
        return [each for each in self.description.shards() if each not in there]

    def _shard(self, number: int) -> dict[str, np.ndarray]:
        """Tensors of a shard by name, mapped when they are first asked for."""
        if number not in self._mapped:
            path = shard_path(self.folder, *self._ranges[number])
            tensors, _ = map_shard(path)
            begin, end = self._ranges[number]
            shape, expected = tensors['weights'].shape, (end - begin, weights_lib.count(self.description.weights))
            if shape != expected:
                raise InputError(
                    f'{path} holds weights {shape} instead of {expected}; drop it with `hyperinr verify --repair`.'
                )
            if len(self._mapped) == MAX_MAPPED:
                self._mapped.clear()
            self._mapped[number] = tensors
        return self._mapped[number]
