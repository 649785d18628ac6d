"""Limits on what a file declares, compared before memory is taken: a file of some bytes can declare any size.

The formats safetensors, PLY, OFF and STL need none: their readers compare the declared sizes with the file's own.
"""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.runtime.files import check_regular

__all__ = [
    'MOST_MESH_BYTES',
    'MOST_PIXELS',
    'MOST_UNPACKED_BYTES',
    'check_archive',
    'check_array',
    'check_mesh_file',
    'check_pixels',
]

MOST_PIXELS = 2**27
"""Pixels of an image, or samples of another signal: 134 million, 1.5 GiB as three channels of float32."""
MOST_UNPACKED_BYTES = 2**31
"""Bytes that a NumPy archive may unpack to, unless the file itself is as long: hyperinr writes them uncompressed."""
MOST_MESH_BYTES = 2**30
"""Bytes of a mesh file."""


def check_pixels(path: Path, pixels: int, name: str = 'pixels') -> None:
    """Raise `InputError` if a signal has more than `MOST_PIXELS` pixels, or samples of another name."""
    if pixels > MOST_PIXELS:
        raise InputError(
            f'{str(path)!r} has {pixels:,} {name}, more than the {MOST_PIXELS:,} that are read; '
            'cut it into smaller files, or resize it.'
        )


def check_array(path: Path, file: Any, available: int) -> tuple[int, ...] | None:
    """Raise `InputError` if the header of a ``.npy`` file declares more bytes than the file holds.

    Args:
      path: the file, for messages.
      file: the file, opened for reading at its beginning.
      available: bytes of the file.

    Returns:
      The declared shape; ``None`` if this is no ``.npy`` file.

    Raises:
      ValueError: the header is damaged.
    """
    if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
        return None
    version = tuple(file.read(2))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    declared, held = math.prod(shape) * dtype.itemsize, available - file.tell()
    if min(shape, default=0) < 0:
        raise ValueError(f'a shape of {shape}')
    if declared > held and not dtype.hasobject:
        raise InputError(
            f'{str(path)!r} declares an array of shape {shape}, {declared:,} bytes, and holds {held:,}: '
            'it is cut short or damaged; save it again.'
        )
    return shape


def check_archive(path: Path) -> None:
    """Raise `InputError` if a NumPy archive unpacks to too much, or an array in it declares more than there is.

    Raises:
      OSError, ValueError, zipfile.BadZipFile: the archive is damaged.
    """
    most = max(MOST_UNPACKED_BYTES, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > most:
            raise InputError(
                f'{str(path)!r} unpacks to {unpacked:,} bytes, more than the {most:,} that are read; write it again, '
                'uncompressed.'
            )
        for member in members:
            with archive.open(member) as opened:
                check_array(path, opened, member.file_size)


def check_mesh_file(path: Path) -> None:
    """Raise `InputError` unless this is a regular file of at most `MOST_MESH_BYTES`."""
    check_regular(path, 'mesh file')
    size = path.stat().st_size
    if size > MOST_MESH_BYTES:
        raise InputError(
            f'{str(path)!r} has {size:,} bytes, more than the {MOST_MESH_BYTES:,} that are read; simplify the mesh.'
        )
