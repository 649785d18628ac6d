"""Write a file whole or not at all, read JSON, and say errors of the disk in one line."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError, RunError

__all__ = ['check_writable_folder', 'disk_errors', 'plain', 'read_json', 'read_json_lines', 'replacing', 'write_json']


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turn an ``OSError`` while ``path`` is written into one line that names it.

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
    """Make the folder if need be and try to write into it, so that long work fails before it starts.

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
    """Give a temporary path beside ``path`` to write to; it is renamed to ``path`` on success, deleted on any error.

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
    """Write JSON that every reader takes: a number that is not finite is refused, so pass ``None`` for it.

    Raises:
      ValueError: NaN or an infinity in ``content``.
      InputError, RunError: as `disk_errors`.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def read_json(path: str | os.PathLike, *, remedy: str = 'restore the file') -> Any:
    """Read a JSON file.

    Raises:
      InputError: the file is missing or damaged; ends with the remedy.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read ({error}); {remedy}.') from error


def read_json_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line; empty if there is no file.

    A line that is no object is left out: a process that is killed leaves its last line cut short.
    """
    path, records = Path(path), []
    for line in path.read_text(encoding='utf-8').splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]


def plain(value: Any) -> Any:
    """Return ``value`` for JSON: mappings, lists, arrays and numbers; ``None`` for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
