"""One worker at a time on one shard: a lock that the operating system takes back when its holder dies.

A claim is an exclusive ``flock`` on a small file. SIGKILL, a crash or a power cut releases it at once, so there is no
stale claim to recognise, no heartbeat and no clock. Where a file system knows no locks every claim is granted: two
workers may then fit the same shard, which costs time and nothing else, since both compute the same bytes and a rename
replaces the one by the other.
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from hyperinr.files import disk_errors

__all__ = ['CLAIMS', 'Claim', 'claimed', 'work_in_progress']

CLAIMS = '.claims'
"""Folder of the claim files inside a store. May be deleted when no worker runs."""


class Claim:
    """Held by this process until the context of `claimed` ends.

    Attributes:
      exclusive: whether nobody else can hold it too; False on a file system without locks.
    """

    def __init__(self, handle: int, *, exclusive: bool):
        self._handle = handle
        self.exclusive = exclusive

    def report(self, done: int) -> None:
        """Says for whoever watches how many INRs of the shard are fitted."""
        with contextlib.suppress(OSError):
            text = json.dumps({'process': os.getpid(), 'done': done}).ljust(64)
            os.pwrite(self._handle, text.encode(), 0)


@contextlib.contextmanager
def claimed(folder: str | os.PathLike, name: str) -> Iterator[Claim | None]:
    """Tries to claim ``name`` in a store; ``None`` when another process holds it.

    Whoever gets the claim must look *then* whether the work is still to be done: its last holder may have finished it.

    Raises:
      InputError, RunError: as `hyperinr.files.disk_errors`.
    """
    path = Path(folder) / CLAIMS / name
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        exclusive = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                yield None
                return
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            exclusive = False
        yield Claim(handle, exclusive=exclusive)
        with contextlib.suppress(OSError):
            path.unlink()
    finally:
        os.close(handle)


def work_in_progress(folder: str | os.PathLike) -> dict[str, int]:
    """INRs fitted so far by claim; claims of killed workers are among them until somebody takes the work over."""
    found = {}
    for path in Path(folder, CLAIMS).glob('*'):
        with contextlib.suppress(OSError, ValueError):
            found[path.name] = int(json.loads(path.read_text())['done'])
    return found
