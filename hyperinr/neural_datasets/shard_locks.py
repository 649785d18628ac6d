"""One worker at a time on one shard, by a lock in the folder of the store.

The lock of a worker that is killed is free at once, so no lock is ever stale. A file system without locks still takes
workers: two of them may then fit the same shard, which costs time and nothing else, since both compute the same bytes
and a rename replaces the one file by the other.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hyperinr.runtime.locks import NoLocksError, locked

__all__ = ['LOCKS', 'ShardLock', 'fitted_so_far', 'shard_lock']

LOCKS = '.claims'
"""Folder of the lock files inside a store. May be deleted when no worker runs."""


class ShardLock(NamedTuple):
    """The lock of a shard, while this process works on it.

    Attributes:
      path: of the lock file, which also says how far the work is.
      exclusive: whether nobody else can hold it too; False on a file system without locks.
    """

    path: Path
    exclusive: bool

    def report(self, done: int) -> None:
        """Tell whoever watches how many INRs of the shard are fitted."""
        with contextlib.suppress(OSError), self.path.open('r+') as file:
            file.write(json.dumps({'process': os.getpid(), 'done': done}).ljust(64))


@contextlib.contextmanager
def shard_lock(folder: str | os.PathLike, start: int, end: int) -> Iterator[ShardLock | None]:
    """Try to lock the shard [start, end) of a store; the context gets ``None`` if another process holds the lock.

    Whoever gets it must check *then* whether the shard is still missing: its last holder may have finished it.

    Raises:
      InputError, RunError: as `hyperinr.runtime.files.disk_errors`.
    """
    path = Path(folder) / LOCKS / f'{start}-{end}'
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
    """Count the fitted INRs of missing shards, also of workers that were killed before they wrote them."""
    path, done = Path(folder, LOCKS), 0
    there = set(os.listdir(path)) if path.is_dir() else set()
    for start, end in missing:
        if f'{start}-{end}' in there:
            with contextlib.suppress(OSError, ValueError):
                done += json.loads((path / f'{start}-{end}').read_text())['done']
    return done
