"""NumPy files: reading within the limits, and writing with the mark of an output."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.limits import check_archive, check_array
from hyperinr.runtime.outputs import replacing_output

__all__ = ['read_npy', 'read_npz', 'write_npy']

ALIGNED = 64
"""Bytes: the header of a ``.npy`` file ends at a multiple of it, so that the data can be mapped into memory."""


def read_npy(path: Path, check: Callable[[tuple[int, ...]], None] = lambda shape: None) -> np.ndarray:
    """Read a ``.npy`` file; ``check`` sees the declared shape before memory is taken.

    Raises:
      InputError: the file is damaged, cut short, holds Python objects, or is an archive; or ``check`` raises it.
    """
    try:
        with path.open('rb') as file:
            shape = check_array(path, file, path.stat().st_size)
        if shape is not None:
            check(shape)
        array = np.load(path, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f'{str(path)!r} is not a readable .npy array of numbers (corrupt, cut short or pickled): '
            'save it again, or leave it out.'
        ) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f'{str(path)!r} is an archive of arrays; save one array with numpy.save.')
    return array


def read_npz(path: Path) -> np.ndarray:
    """Read the one array of a ``.npz`` file.

    Raises:
      InputError: the archive is damaged or unpacks to too much, or holds no array, several, or Python objects.
    """
    try:
        check_archive(path)
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            if len(names) != 1:
                held = f'{len(names)} arrays ({", ".join(names[:4])}{", ..." if len(names) > 4 else ""})'
                raise InputError(f'{str(path)!r} holds {held}; save the one of the signal by itself with numpy.save.')
            return archive[names[0]]
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f'{str(path)!r} is not a readable .npz archive of numbers (corrupt, cut short or pickled): '
            'save it again, or leave it out.'
        ) from error


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write a ``.npy`` file. The mark of an output is a comment in the header, which is a Python literal.

    Raises:
      InputError, RunError: as for `replacing_output`.
    """
    literal, said = (
        repr(np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array))),
        '# written by hyperinr\n',
    )
    start = np.lib.format.magic(1, 0)
    length = -(-(len(start) + 2 + len(literal) + 1 + len(said)) // ALIGNED) * ALIGNED - len(start) - 2
    header = literal.ljust(length - len(said)) + said
    with replacing_output(path) as temporary, temporary.open('wb') as file:
        file.write(start + struct.pack('<H', length) + header.encode('latin1'))
        array.tofile(file)
