"""Export and import neural datasets in other formats, two of which are single files."""

import os
from pathlib import Path

import numpy as np

from hyperinr.arguments import check_choice
from hyperinr.errors import InputError
from hyperinr.files.file_values import check_data_range
from hyperinr.files.tensors import TENSOR_FORMATS, read_tensors, write_tensors
from hyperinr.neural_datasets.description import from_json
from hyperinr.neural_datasets.exchange.fit_a_nef import read_fit_a_nef, write_fit_a_nef
from hyperinr.neural_datasets.exchange.inr_table import LAYOUTS, InrTable, read_table, write_store
from hyperinr.neural_datasets.exchange.torch_files import read_torch, write_torch
from hyperinr.neural_datasets.shards import shard_tensors
from hyperinr.neural_datasets.store import open_store
from hyperinr.neural_datasets.verification import verify
from hyperinr.runtime.outputs import check_outputs

__all__ = ['EXCHANGE_FORMATS', 'export_store', 'import_store']

EXCHANGE_FORMATS = ('fit-a-nef', 'dwsnets', 'nfn', 'npz', 'safetensors')
"""`fit-a-nef`, `dwsnets` and `nfn` are folders; each of the others is one file."""


def export_store(folder: str | os.PathLike, out: str | os.PathLike, *, format: str, fold_omega: bool = False) -> Path:
    """Write a neural dataset in another format. Importing the result restores the store, bit for bit.

    Args:
      folder: folder of the store.
      out: folder to write, which must not exist; or file to write, which may be an earlier export.
      format: one of `EXCHANGE_FORMATS`.
      fold_omega: whether to fold omega_0 into the weights. The result records it.

    Returns:
      ``out``.

    Raises:
      InputError: the format is unknown or cannot hold the INRs, the output exists, or a shard is not sound: each is
        read and compared with its checksum first.
    """
    check_choice('--format', format, EXCHANGE_FORMATS)
    out = Path(out)
    if format in TENSOR_FORMATS:
        check_outputs([out])
    elif out.exists():
        raise InputError(f'{out} exists; give a new path.')
    unsound = [problem.message for problem in verify(folder).problems if problem.shard is not None]
    if unsound:
        raise InputError(f'{folder}: {unsound[0]}; `hyperinr verify --store {folder} --repair` drops such shards.')
    table = read_table(open_store(folder), fold=fold_omega)
    kind = table.description.inr.get('kind')
    if format in LAYOUTS and kind != 'siren':
        raise InputError(f'{format} holds SIRENs, and these INRs are of the kind {kind!r}; choose npz or safetensors.')
    if format == 'fit-a-nef':
        write_fit_a_nef(out, table)
    elif format in LAYOUTS:
        write_torch(out, table, layout=format)
    else:
        write_tensors(out, shard_tensors(table.weights, table.columns), table.description.as_json(), format=format)
    return out


def import_store(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    format: str,
    data_range: tuple[float, float] = (0.0, 1.0),
) -> Path:
    """Make a store from files in another format.

    Args:
      path: file or folder of `export_store`, or a folder written by fit-a-nef.
      folder: folder of the new store.
      format: one of `EXCHANGE_FORMATS`.
      data_range: ``(low, high)`` of the INRs' values, for files that do not state it.

    Returns:
      ``folder``.

    Raises:
      InputError: the format is unknown, files are missing, damaged or contradict each other, or the folder is not
        empty. Nothing is written then.
    """
    check_choice('--format', format, EXCHANGE_FORMATS)
    data_range = check_data_range('--data-range', data_range) or (0.0, 1.0)
    if not Path(path).exists():
        raise InputError(f'{path}: no such file or folder.')
    if format == 'fit-a-nef':
        table = read_fit_a_nef(path, data_range=data_range)
    elif format in LAYOUTS:
        table = read_torch(path)
    else:
        tensors, content = read_tensors(path, format=format)
        description = from_json(content, path)
        weights = tensors.pop('weights', np.zeros((0, 0), np.float32))
        table = InrTable(weights, tensors, description)
    return write_store(folder, table, path)
