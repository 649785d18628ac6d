"""Locks between processes. A lock is a file, and the operating system releases it when its holder ends in any way.

A lock file is never deleted. Otherwise a process that waits for the deleted file and a process that creates the file
again could both hold the lock.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hyperinr.errors import InputError
from hyperinr.runtime.files import disk_errors

__all__ = ['NoLocksError', 'locked']

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""Errors of ``flock`` on a file system without locks. A lock that another process holds is not among them."""


class NoLocksError(InputError):
    """The file system does not support locks. This is not the error for a lock that another process holds."""


@contextlib.contextmanager
def locked(path: str | os.PathLike, *, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock within the context; yield whether the lock is held.

    Args:
      path: path of the lock file; the file and its folder are created if they do not exist.
      wait: wait until another holder releases the lock. If False, yield False at once when another process holds it.

    Raises:
      NoLocksError: the file system does not support locks.
      InputError, RunError: as for `hyperinr.runtime.files.disk_errors`.

    Example:
      >>> with locked('study/.lock', wait=False) as held:  # doctest: +SKIP
      ...     print('mine' if held else "another's")
    """
    lock = FileLock(path, preserve_lock_file=True)
    with disk_errors(path), contextlib.suppress(Timeout):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=wait)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise NoLocksError(
                f'the file system of {path} has no locks ({error.strerror}); choose a folder on another one, or mount '
                'it with locks.'
            ) from error
    try:
        yield lock.is_locked
    finally:
        lock.release()
