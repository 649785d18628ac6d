"""Locks that let one worker at a time work on a shard, in the folder of the store.

The lock of a killed worker is free at once, so no lock is ever stale. Workers also run on a file system without locks.
Two of them may then fit the same shard. That costs only time: both compute the same bytes, and a rename replaces one
file by the other.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hyperinr.errors import InputError
from hyperinr.neural_datasets.description_checks import is_count
from hyperinr.runtime.locks import NoLocksError, locked

__all__ = ['LOCKS', 'ShardLock', 'fitted_so_far', 'shard_lock']

LOCKS = '.claims'
"""Folder of the lock files inside a store. It may be deleted when no worker runs."""


class ShardLock(NamedTuple):
    """The lock of a shard while this process works on it.

    Attributes:
      path: the lock file. It also records the progress.
      exclusive: whether no other process can hold it; False on a file system without locks.
    """

    path: Path
    exclusive: bool

    def report(self, done: int) -> None:
        """Record how many INRs of the shard are fitted, for progress displays."""
        with contextlib.suppress(OSError), self.path.open('r+') as file:
            file.write(json.dumps({'process': os.getpid(), 'done': done}).ljust(64))


@contextlib.contextmanager
def shard_lock(folder: str | os.PathLike, start: int, end: int) -> Iterator[ShardLock | None]:
    """Try to lock the shard [start, end) of a store. The context gets ``None`` if another process holds the lock.

    The holder must check *after* locking that the shard is still missing: the previous holder may have written it.

    Raises:
      InputError: the lock file is a link, through which it would overwrite another file.
      InputError, RunError: as `hyperinr.runtime.files.disk_errors`.
    """
    path = Path(folder) / LOCKS / f'{start}-{end}'
    if path.parent.is_symlink() or path.is_symlink() or (path.exists() and path.stat().st_nlink > 1):
        remedy = f'delete {path.parent}, which holds nothing but locks'
        raise InputError(f'{path} is a link to another file or folder; {remedy}.')
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(locked(path, wait=False))
            lock = ShardLock(path, exclusive=True) if held else None
        except NoLocksError:
            lock = ShardLock(path, exclusive=False)
        try:
            yield lock
        finally:
            if lock is not None:
                lock.report(0)


def fitted_so_far(folder: str | os.PathLike, missing: Iterable[tuple[int, int]]) -> int:
    """Count the fitted INRs of missing shards, including those that a killed worker never wrote."""
    path, done = Path(folder, LOCKS), 0
    there = {each.name for each in os.scandir(path) if each.is_file()} if path.is_dir() else set()
    for start, end in missing:
        if f'{start}-{end}' in there:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                count = json.loads((path / f'{start}-{end}').read_text())['done']
                done += count if is_count(count, end - start) else 0
    return done
