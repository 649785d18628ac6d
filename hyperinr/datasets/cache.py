"""The folder of prepared datasets, and the lock under which each is prepared once."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hyperinr.errors import InputError, RunError
from hyperinr.runtime import locks

__all__ = ['cache_folder', 'locked']


def cache_folder(data_dir: str | os.PathLike | None = None) -> Path:
    """Return ``data_dir``, else the environment's ``DATA_PATH``, else ``~/.cache/hyperinr``; it need not exist."""
    return Path(data_dir or os.environ.get('DATA_PATH') or '~/.cache/hyperinr').expanduser().absolute()


@contextlib.contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Make the cache ``root`` and hold the exclusive lock of ``name`` in it; wait while another process holds it.

    Raises:
      InputError: the cache cannot be made or written to, or its file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.locked(root / '.locks' / name.replace('/', '-')))
        except (InputError, RunError) as error:
            reason = getattr(error.__cause__, 'strerror', None) or error
            raise InputError(
                f'cannot write to the dataset cache {str(root)!r} ({reason}); '
                'set DATA_PATH (or data_dir) to a folder that you may write to.'
            ) from error
        yield
