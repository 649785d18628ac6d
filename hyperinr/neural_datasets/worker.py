"""One worker: lock missing shards, fit their INRs and write them, until the range is complete.

A shard depends only on the job and on its range. So the work needs no queue and no coordinator: a worker that finds a
shard missing and not locked makes it. The shard of a killed worker is still missing, so another worker makes it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.neural_datasets.description import DESCRIPTION, Description, read_description
from hyperinr.neural_datasets.fit_job import fit_rows, rows_per_call
from hyperinr.neural_datasets.identity import check_same, identity
from hyperinr.neural_datasets.plan import Job
from hyperinr.neural_datasets.shard_locks import LOCKS, ShardLock, shard_lock
from hyperinr.neural_datasets.shards import partial_files, shard_path, write_shard
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.runtime.files import check_writable_folder

__all__ = ['fit_range', 'open_for_fitting', 'worker_command']

WAIT_SECONDS = 0.2
"""Time between two tries to lock shards that other workers hold."""


def worker_command(
    folder: str | os.PathLike, *, start: int | None, end: int | None, worker: int, num_workers: int, trust: bool
) -> list[str]:
    """Return the command line of one worker of an opened store. The store holds the config."""
    command = [sys.executable, '-P', '-m', 'hyperinr', 'fit', '--store', str(Path(folder).absolute())]
    for option, value in (('--start', start), ('--end', end)):
        if value is not None:
            command += [option, str(value)]
    return [*command, *(['--trust'] if trust else []), '--worker', f'{worker}/{num_workers}']


def open_for_fitting(folder: str | os.PathLike, description: Description) -> None:
    """Make the folder a store, or check that it holds the same store with sound shards. Deletes nothing.

    The store keeps the newest config, which its workers read: the signals may lie elsewhere than before.

    Raises:
      InputError: the folder holds something else or another neural dataset, holds a shard that is not sound or not of
        this store, or is not writable.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder} is a file; give a folder as --store.')
    if (folder / DESCRIPTION).is_file():
        store = NeuralDataset(folder)
        check_same(folder, store.description, description)
        check_writable_folder(folder)
        store.column('index')  # Maps every shard, and so refuses one that `map_shard` refuses.
        if description.config != store.description.config:
            store.description._replace(config=description.config).write(folder)
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    foreign = sorted(name for name in names if name != LOCKS and '.partial' not in name)
    if foreign:
        raise InputError(
            f'{folder} is not empty and holds no neural dataset ({", ".join(foreign[:3])} ...); give a new or empty '
            'folder.'
        )
    check_writable_folder(folder)
    description.write(folder)


def fit_range(
    folder: str | os.PathLike,
    job: Job,
    *,
    start: int | None = None,
    end: int | None = None,
    worker: int = 0,
    num_workers: int = 1,
    on_progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Complete every shard that overlaps [start, end), and return when all of them exist.

    Any number of calls may run at once, in any processes. Worker k of K begins at the k-th part of the range, so that
    workers seldom meet. A worker waits while all missing shards are locked: the locks of a killed holder become free.

    Args:
      folder: folder of the store, opened with `open_for_fitting`.
      job: job with the same description.
      start: first index; ``None``: 0.
      end: one after the last index; ``None``: the size of the index space.
      worker: k in [0, num_workers).
      num_workers: K; a wrong number does no harm.
      on_progress: called with the number of INRs fitted since the last call.

    Returns:
      Number of INRs that this call fitted.

    Raises:
      InputError: the range lies outside the index space, or a signal cannot be fitted.
      RunError: the disk is full.
    """
    ranges, store = job.description.shards(start, end), identity(read_description(folder))
    first = worker * len(ranges) // num_workers
    ranges = ranges[first:] + ranges[:first]
    fitted = 0
    while missing := [each for each in ranges if not shard_path(folder, *each).exists()]:
        num_locked = 0
        for begin, stop in missing:
            with shard_lock(folder, begin, stop) as lock:
                if lock is None:
                    num_locked += 1
                elif not shard_path(folder, begin, stop).exists():
                    _fit_shard(folder, job, begin, stop, store, lock, on_progress)
                    fitted += stop - begin
        if num_locked == len(missing):
            time.sleep(WAIT_SECONDS)
    return fitted


def _fit_shard(
    folder: str | os.PathLike,
    job: Job,
    begin: int,
    end: int,
    store: str,
    lock: ShardLock,
    on_progress: Callable[[int], None],
) -> None:
    if lock.exclusive:
        for leftover in partial_files(folder, begin, end):
            leftover.unlink(missing_ok=True)
    parts, step = [], rows_per_call(job)
    for first in range(begin, end, step):
        indices = np.arange(first, min(first + step, end))
        parts.append(fit_rows(job, indices))
        lock.report(first + len(indices) - begin)
        on_progress(len(indices))
    columns = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    try:
        write_shard(folder, columns.pop('weights'), columns, store=store)
    except InputError as error:
        raise RunError(str(error)) from error
