"""The folder that prepared datasets live in, and the lock that makes preparing them once enough."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hyperinr.errors import InputError

__all__ = ['cache_folder', 'locked']


def cache_folder(data_dir: str | os.PathLike | None = None) -> Path:
    """``data_dir``, else the environment's ``DATA_PATH``, else ``~/.cache/hyperinr``; it need not exist."""
    return Path(data_dir or os.environ.get('DATA_PATH') or '~/.cache/hyperinr').expanduser().absolute()


@contextlib.contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Makes the cache ``root`` and holds the exclusive lock of ``name`` in it.

    The system releases the lock when the process ends, however it ends.

    Raises:
      InputError: the cache cannot be made or written to.
    """
    import fcntl

    path = root / '.locks' / name.replace('/', '-')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise InputError(
            f'cannot write to the dataset cache {str(root)!r} ({error.strerror}); '
            'set DATA_PATH (or data_dir) to a folder that you may write to.'
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
