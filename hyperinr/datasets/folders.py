"""The files of a user's folder: which are read, which are passed over and why, and a fingerprint of their content."""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperinr.datasets.cache import cache_folder
from hyperinr.errors import InputError, RunError
from hyperinr.runtime.files import read_json, replacing

__all__ = ['Listing', 'described', 'existing_folder', 'fingerprint', 'list_files']


class Listing(NamedTuple):
    """The files below a folder.

    Attributes:
      files: those that are read, sorted by path.
      passed_over: reason -> number of files or folders that are not read.
    """

    files: list[Path]
    passed_over: Counter[str]

    def note(self) -> str:
        """Return how many files were passed over and why, in one line; empty if there are none."""
        reasons = ', '.join(f'{reason} ({count})' for reason, count in self.passed_over.most_common())
        return f'{self.passed_over.total()} not read: {reasons}' if reasons else ''


def existing_folder(argument: str, path: str | os.PathLike | None, what: str) -> Path:
    """Return the absolute path of a folder.

    Args:
      argument: name of the argument, ``'image_folder.path'``.
      path: value of the argument.
      what: content of the folder, for the message.

    Raises:
      InputError: ``path`` is empty, or there is no such folder.
    """
    if not path:
        raise InputError(f'{argument} must name the folder of your {what}: add -p "{argument}=\'FOLDER\'".')
    if not isinstance(path, str | os.PathLike):
        raise InputError(f'{argument} must be the path of a folder in quotes, not {path!r}.')
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise InputError(f'{argument}: there is no folder {str(folder)!r}.')
    return folder


def list_files(folder: Path, suffixes: Sequence[str]) -> Listing:
    """List the files of some kinds below a folder; links to files and to folders are followed.

    A file or folder that several links reach is read once, so that it is in one split only, and a circle of links ends.
    Hidden files and folders, whose names begin with a dot, are passed over.

    Args:
      folder: an existing folder.
      suffixes: suffixes to read, lower case.
    """
    files: list[Path] = []
    passed_over: Counter[str] = Counter()
    seen, waiting = {folder.resolve()}, [folder]
    while waiting:
        try:
            entries = sorted(waiting.pop().iterdir(), key=lambda entry: (entry.is_symlink(), entry))
        except OSError:
            passed_over['unreadable'] += 1
            continue
        for entry in entries:
            reason = _reason(entry, suffixes)
            if reason is None and entry.resolve() in seen:
                reason = 'read under another name'
            if reason is not None:
                passed_over[reason] += 1
                continue
            seen.add(entry.resolve())
            (waiting if entry.is_dir() else files).append(entry)
    return Listing(sorted(files), passed_over)


def _reason(entry: Path, suffixes: Sequence[str]) -> str | None:
    """Return why a file or folder is passed over; ``None`` for one that is read."""
    if entry.name.startswith('.'):
        return 'hidden'
    try:
        if not entry.exists():
            return 'broken links'
        if entry.is_dir():
            return None
        if not entry.name.lower().endswith(tuple(suffixes)):
            return entry.suffix.lower() or 'without a suffix'
        return None if entry.is_file() and os.access(entry, os.R_OK) else 'unreadable'
    except OSError:
        return 'unreadable'


def described(
    splits: Mapping[str, Iterable[Path]], folder: Path, data_dir: str | os.PathLike | None
) -> list[tuple[str, str, str]]:
    """Return (split, path relative to the folder, SHA-256 of the content) of each file: the same in a copied folder.

    The cache keeps the hashes. A file is read again when its size or its time of modification has changed.

    Args:
      splits: files of each split, below the folder.
      folder: absolute path.
      data_dir: see `cache_folder`. A cache that cannot be written is left out.

    Raises:
      InputError: a file cannot be read.
    """
    members = [(split, file) for split, files in splits.items() for file in files]
    kept = cache_folder(data_dir) / 'hashes' / f'{fingerprint(str(folder))}.json'
    hashes = _hashes([file for _, file in members], kept)
    return [
        (split, file.relative_to(folder).as_posix(), digest)
        for (split, file), digest in zip(members, hashes, strict=True)
    ]


def _hashes(files: Sequence[Path], kept: Path) -> list[str]:
    """Return the SHA-256 of each file, hexadecimal, from the JSON ``kept`` for files that have not changed."""
    known = _read_hashes(kept)
    found: dict[str, list] = {}
    for file in files:
        try:
            status = file.stat()
            entry = known.get(str(file), [])
            if entry[:2] != [status.st_size, status.st_mtime_ns]:
                with file.open('rb') as opened:
                    digest = hashlib.file_digest(opened, 'sha256').hexdigest()
                entry = [status.st_size, status.st_mtime_ns, digest]
        except OSError as error:
            raise InputError(f'{str(file)!r} cannot be read ({error.strerror}); remove it or allow reading.') from error
        found[str(file)] = entry
    if found != known:
        with contextlib.suppress(InputError, RunError), replacing(kept) as temporary:
            temporary.write_text(json.dumps(found), encoding='utf-8')
    return [entry[2] for entry in found.values()]


def _read_hashes(kept: Path) -> dict[str, list]:
    """Return path -> [size in bytes, time of modification in ns, hash]; empty if there is no readable file."""
    try:
        return {name: [size, time, digest] for name, (size, time, digest) in read_json(kept).items()}
    except (InputError, ValueError, AttributeError, TypeError):
        return {}


def fingerprint(content: object) -> str:
    """Return a SHA-256, hexadecimal, of a description of data that JSON can represent."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
