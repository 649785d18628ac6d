"""Write a file completely or not at all, read JSON, and report disk errors in one line."""

import contextlib
import errno
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError, RunError

__all__ = [
    'check_regular',
    'check_writable_folder',
    'disk_errors',
    'plain',
    'read_json',
    'read_json_lines',
    'replacing',
    'sync_folder',
    'write_json',
]

MOST_TEXT_BYTES = 2**28
"""Bytes. A longer file is not read as JSON."""
LONGEST_STEM = 40
"""Characters of a name that its temporary name keeps, so that it stays within the 255 bytes of a file system."""


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turn an ``OSError`` while ``path`` is written into a one-line error that names the path.

    Raises:
      InputError: permission is missing, or the path is impossible (a file in place of a folder, a read-only disk).
      RunError: the disk is full or failed.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RunError(f'the disk is full: {path} was not written; make room and run the command again.') from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f'no permission to write {path}; choose another folder or allow writing.') from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
            raise InputError(f'cannot write {path}: {error.strerror}; choose another path.') from error
        raise RunError(f'writing {path} failed: {error.strerror or error}.') from error


def check_writable_folder(folder: str | os.PathLike) -> Path:
    """Create the folder if it does not exist and test that it is writable, so that long work fails before it starts.

    Raises:
      InputError: the folder cannot be created or is not writable.
    """
    folder = Path(folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return folder


def check_regular(path: str | os.PathLike, what: str = 'file') -> None:
    """Raise `InputError` unless ``path`` is a regular file, before anything is read: reading a pipe would wait.

    Args:
      path: path of the file.
      what: kind of the file, for the message: ``'image file'``.
    """
    path = Path(path)
    try:
        if path.is_file():
            return
        if path.is_dir():
            raise InputError(f'{str(path)!r} is a folder, not {_article(what)} {what}; give a file in it.')
        if path.exists():
            raise InputError(f'{str(path)!r} is a pipe, a socket or a device; copy its content into a file first.')
    except OSError as error:
        raise InputError(f'{str(path)!r} cannot be read ({error.strerror}); allow reading or give another.') from error
    raise InputError(f'there is no {what} {str(path)!r}.')


def _article(noun: str) -> str:
    return 'an' if noun[0] in 'aeiou' else 'a'


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut. Does nothing where the file system cannot."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, flush_folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; rename it to ``path`` on success, delete it on any error.

    Content and rename are on the disk afterwards. The temporary name keeps the suffix of ``path``, because some writers
    choose the format by the suffix. It is drawn at random: threads, and machines that share a folder, differ in it.

    Args:
      path: the file to write; its folder is made if it does not exist.
      flush_folder: False: the caller calls `sync_folder`, once for many files.

    Example:
      >>> with replacing('report.txt') as temporary:  # doctest: +SKIP
      ...     _ = temporary.write_text('all or nothing')
    """
    path = Path(path)
    unique = f'{os.getpid()}-{secrets.token_hex(4)}'
    temporary = path.with_name(f'.{path.stem[:LONGEST_STEM]}.{unique}.partial{path.suffix}')
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open('rb') as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            if flush_folder:
                sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write standard JSON. Pass ``None`` for a number that is not finite.

    Raises:
      ValueError: ``content`` has NaN or an infinity, which standard JSON cannot represent.
      InputError, RunError: as for `disk_errors`.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def read_json(path: str | os.PathLike, *, remedy: str = 'restore the file') -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
      InputError: the file is missing, holds no object, is damaged or longer than `MOST_TEXT_BYTES`; the message ends
        with the remedy.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ValueError('it is a folder, a pipe or a device')
        if path.exists() and path.stat().st_size > MOST_TEXT_BYTES:
            raise ValueError(f'it has {path.stat().st_size} bytes, more than {MOST_TEXT_BYTES}')
        content = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(content, dict):
            raise ValueError('it holds no JSON object')
        return content
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f'{path} cannot be read ({error}); {remedy}.') from error


def read_json_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read a file with one JSON object in each line; return an empty list if there is no file.

    Lines that hold no object are skipped: a killed process leaves an incomplete last line.
    """
    path, records = Path(path), []
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]


def plain(value: Any) -> Any:
    """Convert mappings, lists, arrays and numbers for JSON; a number that is not finite becomes ``None``."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
