"""Read a neural dataset: rows of weights by position, their columns, filters, and splits by signal.

Letters: ``n`` requested INRs, ``P`` weights of one INR, ``R`` INRs in the store.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr import inrs
from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import START_KINDS, STATUSES, Description, read_description
from hyperinr.neural_datasets.identity import identity
from hyperinr.neural_datasets.shards import COLUMNS, list_shards, map_shard, shard_path
from hyperinr.types import Inr, InrWeights

__all__ = ['NeuralDataset', 'open_store']

MAX_MAPPED = 2**14
"""Most shards mapped at once; a process may have about 65,000 mappings."""


@checked
def open_store(folder: str | os.PathLike, start: int | None = None, end: int | None = None) -> 'NeuralDataset':
    """Open a store, complete or incomplete; with ``start`` or ``end`` only the shards that overlap [start, end).

    Raises:
      InputError: the folder holds no store, a file is no shard of its index space, or the range lies outside of it.

    Example:
      >>> store = open_store('digits')  # doctest: +SKIP
      >>> good = store.where(status='ok', label=(3, 8))  # doctest: +SKIP
      >>> store.weights(good[:100]).shape  # doctest: +SKIP
      (100, 8513)
    """
    return NeuralDataset(folder, start, end)


class NeuralDataset:
    """The INRs of a store. Rows 0 ... R - 1 number them in the order of their index.

    Shards are mapped into memory on first use, and only the accessed parts are read.

    Args:
      folder: folder of the store.
      start: first index; ``None``: 0. The range is widened to whole shards.
      end: one after the last index; ``None``: the size of the index space.

    Attributes:
      folder: the path.
      description: content of ``dataset.json``.
    """

    def __init__(self, folder: str | os.PathLike, start: int | None = None, end: int | None = None):
        self.folder = Path(folder)
        self.description: Description = read_description(folder)
        self._bounds = start, end
        self._identity = identity(self.description)
        first, last = self.description.bounds(start, end)
        self._ranges = list_shards(folder, first, None if end is None else last)
        foreign = [each for each in self._ranges if not self.description.holds(each)]
        if foreign:
            raise InputError(
                f'{shard_path(folder, *foreign[0])} is no shard of this neural dataset; move it away, or drop it '
                f'with `hyperinr verify --store {folder} --repair`.'
            )
        self._ends = np.cumsum([end - begin for begin, end in self._ranges], dtype=np.int64)
        self._mapped: dict[int, dict[str, np.ndarray]] = {}
        self._columns: dict[str, np.ndarray] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder alone: the copy in another process opens it again, and no weights are sent."""
        return NeuralDataset, (self.folder, *self._bounds)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def inr(self) -> Inr:
        """The INR that evaluates the weights."""
        return inrs.from_metadata(self.description.inr)

    @checked
    def weights(self, rows: Sequence[int] | np.ndarray | slice | None = None) -> np.ndarray:
        """Return the weights ``[n, P]`` float32 of these rows in this order; by default of all.

        Raises:
          IndexError: a row lies outside [0, R).
        """
        rows = self._rows(rows)
        shards = np.searchsorted(self._ends, rows, side='right')
        if len(rows):
            self._shard(int(shards[0]))  # Its size confirms P before memory is taken.
        result = np.empty((len(rows), weights_lib.count(self.description.weights)), np.float32)
        # Consecutive rows of one shard are copied at once, straight from the mapped file.
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(shards) != 0)) + 1
        for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
            if first == last:
                continue
            shard = int(shards[first])
            tensor = self._shard(shard)['weights']
            begin = int(rows[first] - self._ends[shard]) + len(tensor)
            result[first:last] = tensor[begin : begin + last - first]
        return result

    @checked
    def pytrees(self, rows: Sequence[int] | np.ndarray | slice | None = None) -> InrWeights:
        """Return the weights of these rows as pytrees with leaves ``[n, *shape]``."""
        return weights_lib.unflatten(self.weights(rows), self.description.weights)

    @checked
    def column(self, name: str) -> np.ndarray:
        """Return a column ``[R]``, one value for every INR.

        Raises:
          InputError: there is no such column.
        """
        if name not in COLUMNS:
            raise InputError(f'no column {name!r}; there are {", ".join(COLUMNS)}.')
        if name not in self._columns:
            parts = [np.asarray(self._shard(shard)[name]) for shard in range(len(self._ranges))]
            self._columns[name] = np.concatenate(parts) if parts else np.zeros(0, COLUMNS[name])
        return self._columns[name]

    @checked
    def where(self, *, min_psnr_db: float | None = None, min_iou: float | None = None, **conditions: Any) -> np.ndarray:
        """Return the rows ``[n]`` that meet all conditions.

        Args:
          min_psnr_db: least PSNR.
          min_iou: least intersection over union. INRs that are not solids have none and are left out.
          **conditions: column -> a value, or several values to choose from; ``status`` and ``start`` by name.

        Raises:
          InputError: there is no such column, status or kind of start.

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
                raise InputError(f'{name} {unknown[0]!r} is none of {", ".join(codes) or "the numbers in it"}.')
            numbers = [codes.index(value) if isinstance(value, str) else value for value in values]
            keep &= np.isin(self.column(name), numbers)
        return np.flatnonzero(keep)

    @checked
    def split(
        self, fractions: Mapping[str, float], *, seed: int = 0, rows: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Divide rows at random into splits. All seeds of a signal are in the same split.

        A signal's split depends only on its source index and ``seed``. So it stays the same while the store grows, and
        for any choice of rows.

        Args:
          fractions: name -> share of the signals, summing to 1.
          seed: seed of the assignment, >= 0.
          rows: rows to divide; ``None``: all.

        Returns:
          Name -> ascending rows.

        Raises:
          InputError: fractions are negative or do not sum to 1.
        """
        shares = np.asarray(list(fractions.values()), float)
        if shares.size == 0 or shares.min() < 0 or abs(shares.sum() - 1) > 1e-6:
            raise InputError(f'fractions {dict(fractions)} must be >= 0 and sum to 1.')
        rows = np.sort(self._rows(rows))
        order = np.random.default_rng((seed, self.description.num_signals)).permutation(self.description.num_signals)
        edges = np.round(np.cumsum(shares) * self.description.num_signals)
        _, signals = self.description.seeds_and_signals(self.column('index')[rows])
        part = np.searchsorted(edges, order[signals], side='right')
        part = np.minimum(part, len(shares) - 1)
        return {name: rows[part == number] for number, name in enumerate(fractions)}

    def missing(self) -> list[tuple[int, int]]:
        """Return ``(start, end)`` of the shards that are not fitted yet."""
        return self.description.missing(self._ranges, *self._bounds)

    def _rows(self, rows: Sequence[int] | np.ndarray | slice | None) -> np.ndarray:
        """Return rows as an array ``[n]`` of int64, all of them within [0, R)."""
        if rows is None or isinstance(rows, slice):
            rows = np.arange(len(self))[rows or slice(None)]
        given = np.asarray(rows)
        if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
            raise InputError(f'rows must be whole numbers [n], not {given.dtype}{list(given.shape)}.')
        found = given.astype(np.int64)
        if found.size and not 0 <= found.min() <= found.max() < len(self):
            raise IndexError(f'rows {found.min()}..{found.max()} lie outside the {len(self)} INRs of {self.folder}.')
        return found

    def _shard(self, number: int) -> dict[str, np.ndarray]:
        """Return the tensors of a shard by name, mapped on first use."""
        if number not in self._mapped:
            num_weights = weights_lib.count(self.description.weights)
            tensors = map_shard(self.folder, self._ranges[number], num_weights, store=self._identity).tensors
            if len(self._mapped) == MAX_MAPPED:
                self._mapped.clear()
            self._mapped[number] = tensors
        return self._mapped[number]
