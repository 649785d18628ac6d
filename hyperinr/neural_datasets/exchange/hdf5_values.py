"""Read datasets of an HDF5 file that a stranger made: only what lies in that file, and no more than it stores."""

import math
from typing import Any

import numpy as np

__all__ = ['read_numbers', 'read_text']

MOST_UNPACKED = 64
"""Most bytes of a compressed dataset for each byte in the file, above `SMALL`. Weights hardly shrink, labels do."""
SMALL = 2**24


def read_numbers(file: Any, name: str) -> np.ndarray:
    """Read a dataset of numbers.

    Args:
      file: an open ``h5py.File``.
      name: name of a dataset at its root.

    Raises:
      KeyError: there is none of this name.
      ValueError: it lies elsewhere, is no dataset of numbers, or was not written completely.
    """
    dataset = _stored_here(file, name)
    if dataset.shape is None or dataset.dtype.kind not in 'biufc':
        raise ValueError(f'{name} holds no numbers')
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    packed = dataset.id.get_create_plist().get_nfilters() > 0
    whole = dataset.chunks is None or dataset.id.get_num_chunks() == math.prod(
        -(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True)
    )
    if not whole or declared > (max(SMALL, MOST_UNPACKED * stored) if packed else stored):
        raise ValueError(f'{name} {dataset.shape} declares {declared:,} bytes, and the file holds {stored:,} of it')
    return np.asarray(dataset)


def read_text(file: Any, name: str) -> str:
    """Read a dataset of one text.

    Raises:
      KeyError, ValueError: as `read_numbers`.
    """
    dataset = _stored_here(file, name)
    if dataset.shape != (1,) or dataset.dtype.kind != 'O':
        raise ValueError(f'{name} is no single text')
    return bytes(dataset[0]).decode()


def _stored_here(file: Any, name: str) -> Any:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f'{name} is a link to another place')
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f'{name} is no dataset')
    if dataset.is_virtual or dataset.external:
        raise ValueError(f'{name} lies in other files')
    return dataset
