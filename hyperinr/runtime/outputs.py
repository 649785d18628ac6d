"""Outputs at paths that a user chooses: each says that hyperinr wrote it, and only such a file is ever replaced.

The same command can so be run again, and no other file is lost. Files in folders that are hyperinr's own (a run, a
store, a search, the cache) need no mark.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hyperinr.errors import InputError
from hyperinr.runtime.files import disk_errors, replacing, write_json

__all__ = ['PNG_MARK', 'SAID', 'TORCH_MARK', 'WRITTEN_BY', 'check_outputs', 'replacing_output', 'write_json_output']

WRITTEN_BY = {'written_by': 'hyperinr'}
"""First entry of the JSON, or of the JSON metadata, of an output."""
PNG_MARK = {'Software': 'hyperinr'}
"""Text of a PNG."""
TORCH_MARK = 'written_by=hyperinr'
"""Key in the ``_metadata`` of a PyTorch state dict."""
SAID = 'written by hyperinr'
"""Comment of a file whose format has comments."""
JSON_TEXT = '"written_by": "hyperinr"'
MARKS = (
    f'{{\n  {JSON_TEXT}'.encode(),  # of JSON, at its beginning alone
    JSON_TEXT.replace('"', r'\"').encode(),  # In the header of a safetensors file, JSON is a string.
    JSON_TEXT.encode('utf-32-le'),  # Text in a NumPy archive.
    JSON_TEXT.encode('utf-32-be'),
    b'Software\0hyperinr',
    TORCH_MARK.encode(),
    b'<meta name="generator" content="hyperinr">',
    b'# written by hyperinr\n',  # Wavefront OBJ, and the header of a NumPy array
    b'comment written by hyperinr\n',  # PLY
    b'ICMT\x14\0\0\0written by hyperinr\0',  # WAV
    b'\x1f\x8b\x08\x10\0\0\0\0\0\xffwritten by hyperinr\0',  # gzip
    b'history\0\0\0\0\x02\0\0\0\x13written by hyperinr\0',  # NetCDF 3
    b'\xa9cmt\0\0\0\x23data\0\0\0\x01\0\0\0\0written by hyperinr',  # MP4, whose metadata are at its end
)
"""A file with one of these in its first `HEAD` bytes, or the last of them in its last, is an output of hyperinr."""
HEAD = 2**16


def check_outputs(paths: Iterable[str | os.PathLike]) -> None:
    """Refuse to replace what hyperinr did not write. Call it before the work starts; `replacing_output` calls it again.

    Raises:
      InputError: one of the paths exists and is no output of hyperinr, or cannot be read.
    """
    for path in map(Path, paths):
        with disk_errors(path):
            if os.path.lexists(path) and not _is_output(path):
                reason = 'is a folder' if path.is_dir() else 'was not written by hyperinr'
                raise InputError(f'{path} exists and {reason}: give another output path, or move it away.')


def _is_output(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open('rb') as file:
        head = file.read(HEAD)
        file.seek(max(0, path.stat().st_size - HEAD))
        if MARKS[-1] in file.read():
            return True
    return head.startswith(MARKS[0]) if head.startswith(b'{') else any(mark in head for mark in MARKS[1:])


@contextlib.contextmanager
def replacing_output(path: str | os.PathLike) -> Iterator[Path]:
    """Write an output as `replacing` does. The writer puts one of the `MARKS` near the beginning of the file.

    Raises:
      InputError, RunError: as for `check_outputs` and `replacing`.
    """
    check_outputs([path])
    with replacing(path) as temporary:
        yield temporary
        if not _is_output(temporary):
            raise AssertionError(f'{path} was written without a mark, so that it could not be written again.')


def write_json_output(path: str | os.PathLike, content: Mapping[str, Any]) -> None:
    """Write an object as `write_json` does, with `WRITTEN_BY` as its first entry.

    Raises:
      ValueError, InputError, RunError: as for `check_outputs` and `write_json`.
    """
    check_outputs([path])
    write_json(path, {**WRITTEN_BY, **content})
