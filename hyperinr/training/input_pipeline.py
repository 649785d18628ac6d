"""Choose the datapoints of each step, and load them onto the devices before the step needs them.

A batch depends on the seed and the number of the step alone, so a resumed run needs no state of its data. Background
threads keep a few batches ready; they work while the main thread waits for a step.
"""

import collections
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from hyperinr.datasets.base import Source
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['Batches', 'Positions', 'check_batch', 'prefetched']

RANGE_TOLERANCE = 1e-4
"""Tolerance, as a fraction of the width of the data range: rounding in a resize may exceed the range."""

WAITING = 2
"""Finished items that wait, in addition to the items that the threads are making."""


class Positions:
    """Cut the epochs of a source into batches. Each epoch has its own order, and no datapoint is left out.

    Args:
      length: datapoints of the source, >= 1.
      batch_size: B. If it exceeds ``length``, a batch spans epochs.
      seed: seed of the orders.
    """

    def __init__(self, length: int, batch_size: int, seed: int):
        self._length, self._batch_size = length, batch_size
        order = lambda epoch: np.random.default_rng((seed, epoch)).permutation(length)
        self._order = functools.lru_cache(maxsize=2)(order)

    @property
    def epochs_per_step(self) -> Fraction:
        """The fraction of the source that an update sees."""
        return Fraction(self._batch_size, self._length)

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions in the source and their epochs, both ``[B]`` int64, for update ``step`` (from 0)."""
        first = step * self._batch_size
        epochs, offsets = np.divmod(np.arange(first, first + self._batch_size, dtype=np.int64), self._length)
        wanted = range(int(epochs[0]), int(epochs[-1]) + 1)
        return np.concatenate([self._order(epoch)[offsets[epochs == epoch]] for epoch in wanted]), epochs


def check_batch(batch: Datapoint, spec: DatasetSpec, name_of: Callable[[int], str]) -> None:
    """Refuse a batch with invalid values; points of weight 0 may have any value.

    Args:
      batch: leaves ``[B, ...]``.
      spec: has the data range.
      name_of: maps the index of a datapoint to its name, e.g. its file.

    Raises:
      InputError: a value is not finite or is outside the data range, or a datapoint has no point of positive weight;
        the message names the datapoint.
    """
    low, high = spec.data_range
    slack = RANGE_TOLERANCE * (high - low)
    values, weight = np.asarray(batch.values), np.asarray(batch.weight)
    counts = weight > 0
    seen = values if counts.all() else np.where(counts[..., None], values, low)
    smallest, largest = seen.min(), seen.max()
    fine = low - slack <= smallest and largest <= high + slack and (weight.max(axis=1) > 0).all()
    if fine and weight.min() >= 0 and np.isfinite(weight).all():
        return
    for row, index in enumerate(np.asarray(batch.index).tolist()):
        where = f'datapoint {index} of {spec.name!r} ({name_of(index)})'
        if not np.isfinite(seen[row]).all():
            raise InputError(f'{where} has values that are not finite; give these points weight 0, or repair it.')
        if not (np.isfinite(weight[row]).all() and weight[row].min() >= 0 and weight[row].max() > 0):
            raise InputError(f'{where} has weights that are negative, not finite or all zero; repair or remove it.')
        smallest, largest = seen[row].min(), seen[row].max()
        if smallest < low - slack or largest > high + slack:
            raise InputError(
                f'{where} has values from {smallest:g} to {largest:g}, outside the data range [{low:g}, {high:g}] '
                'that the dataset states; rescale it.'
            )


class Batches(NamedTuple):
    """The batches of a run.

    Attributes:
      source: datapoints that are read in random order.
      spec: specification of the datapoints.
      positions: step -> positions and epochs.
      share: the part of each batch that this process reads.
    """

    source: Source
    spec: DatasetSpec
    positions: Positions
    share: slice = slice(None)

    def __call__(self, step: int) -> Datapoint:
        """Read and check the share of the batch of update ``step`` (from 0), leaves ``[B, ...]``; each has its ``row``.

        Raises:
          InputError: see `check_batch`.
        """
        indices, epochs = (array[self.share] for array in self.positions(step))
        batch = self.source.batch(indices, epochs)
        check_batch(batch, self.spec, self.source.names)
        return batch._replace(row=batch.index)


@contextlib.contextmanager
def prefetched(make: Callable[[int], Any], first: int, last: int, *, workers: int = 1) -> Iterator[Iterator[Any]]:
    """Compute ``make(first) ... make(last - 1)`` ahead of time in threads, and yield them in order.

    Args:
      make: called in the threads; with several threads, by several of them at a time.
      first: number of the first item.
      last: number after that of the last item.
      workers: number of threads.

    Yields:
      The items. An exception of ``make`` is raised in place of its item. The threads end with the context.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix='hyperinr-input')
    futures = (pool.submit(make, number) for number in range(first, last))
    ahead = collections.deque(itertools.islice(futures, WAITING + workers))

    def take() -> Iterator[Any]:
        while ahead:
            item = ahead.popleft().result()
            ahead.extend(itertools.islice(futures, 1))
            yield item

    try:
        yield take()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
