"""Writing a file so that it is there whole or not at all, and errors of the disk said in one line."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hyperinr.errors import InputError, RunError

__all__ = ['check_writable_folder', 'disk_errors', 'replacing', 'write_json']


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turns an ``OSError`` while ``path`` is written into one line that names it.

    Raises:
      InputError: no permission, or the path cannot be (a file where a folder should be, a read-only disk).
      RunError: the disk is full or failed.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RunError(f'the disk is full: {path} was not written; make room and run the command again.') from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f'no permission to write {path}; choose another folder or allow writing.') from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
            raise InputError(f'cannot write {path}: {error.strerror}; choose another path.') from error
        raise RunError(f'writing {path} failed: {error.strerror or error}.') from error


def check_writable_folder(folder: str | os.PathLike) -> Path:
    """Makes the folder if need be and tries to write into it, so that long work fails before it starts.

    Raises:
      InputError: it cannot be made or written to.
    """
    folder = Path(folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return folder


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; renamed to ``path`` on success, deleted on any error.

    The temporary name keeps the suffix of ``path``, which some writers go by.

    Example:
      >>> with replacing('report.txt') as temporary:  # doctest: +SKIP
      ...     _ = temporary.write_text('all or nothing')
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.partial{path.suffix}')
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open('rb') as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes JSON that every reader takes: a number that is not finite is refused, so pass ``None`` for it.

    Raises:
      ValueError: NaN or an infinity in ``content``.
      InputError, RunError: as `disk_errors`.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
