"""Named tensors with JSON metadata in one file, a NumPy archive or safetensors, readable without this library."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from hyperinr.errors import InputError
from hyperinr.files.limits import check_archive
from hyperinr.runtime.files import check_regular
from hyperinr.runtime.outputs import WRITTEN_BY, replacing_output

__all__ = ['TENSOR_FORMATS', 'read_tensors', 'safetensors_bytes', 'write_tensors']

TENSOR_FORMATS = ('npz', 'safetensors')


def safetensors_bytes(tensors: Mapping[str, np.ndarray], text: str | None = None) -> bytes:
    """Return the content of a safetensors file. Equal tensors give equal bytes, whatever their layout in memory.

    ``safetensors.numpy.save`` writes the memory as it lies: the transpose of a matrix under the matrix's shape. It
    writes several metadata in any order.

    Args:
      tensors: tensors by name.
      text: written under the name ``metadata``; ``None``: no metadata.
    """
    plain = {name: np.asarray(each, each.dtype.newbyteorder('='), order='C') for name, each in tensors.items()}
    return save(plain, metadata=None if text is None else {'metadata': text})


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any], *, format: str
) -> None:
    """Write one file completely or not at all. The metadata is JSON text under the name ``metadata``.

    Args:
      path: path of the file.
      tensors: tensors by name.
      metadata: JSON-serialisable.
      format: one of `TENSOR_FORMATS`.

    Raises:
      InputError, RunError: see `hyperinr.runtime.files.disk_errors`.
    """
    text = json.dumps({**WRITTEN_BY, **metadata})
    with replacing_output(path) as temporary, temporary.open('wb') as file:
        if format == 'npz':
            np.savez(file, allow_pickle=False, metadata=np.array(text), **tensors)
        else:
            file.write(safetensors_bytes(tensors, text))


def read_tensors(path: str | os.PathLike, *, format: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Returns:
      ``(tensors, metadata)``, exactly what was written.

    Raises:
      InputError: the file is missing, of another format, damaged, or unpacks to more than `hyperinr.files.limits`
        allows.
    """
    path = Path(path)
    check_regular(path)
    try:
        if format == 'npz':
            check_archive(path)
            with path.open('rb') as file, np.load(file, allow_pickle=False) as archive:
                tensors = dict(archive)
            metadata = json.loads(str(tensors.pop('metadata')))
        else:
            with safe_open(path, 'np') as opened:
                tensors, metadata = opened.get_tensors(), json.loads(opened.metadata()['metadata'])
        metadata = {name: value for name, value in metadata.items() if name not in WRITTEN_BY}
    except InputError:
        raise
    except Exception as error:
        raise InputError(f'{path} is no {format} file of hyperinr, or damaged ({error}); write it again.') from error
    return tensors, metadata
