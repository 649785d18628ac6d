"""The folder of prepared datasets, the lock under which each is prepared once, and what is said of a damaged one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hyperinr.errors import InputError, RunError, first_line
from hyperinr.runtime import locks

__all__ = ['cache_folder', 'locked', 'reading']


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


@contextlib.contextmanager
def reading(folder: Path, *, remedy: str = 'it is made again') -> Iterator[None]:
    """Turn what a reader raises for damaged prepared data into one line that names the folder and the remedy.

    Args:
      folder: folder of the prepared data.
      remedy: what follows after the folder was deleted.

    Raises:
      InputError: the data is damaged, or a file of it is missing or unreadable.
    """
    try:
        yield
    except (InputError, RunError, MemoryError):
        raise
    except Exception as error:  # tfds, array_record and Pillow raise errors of a dozen kinds.
        raise InputError(
            f'the prepared data in {folder} is damaged or cannot be read ({first_line(error).rstrip(".")}); '
            f'delete that folder: {remedy}.'
        ) from error
