"""Neural datasets in other formats: `export_store` and `import_store`, and the two single-file formats."""

import os
from pathlib import Path

from hyperinr.errors import InputError
from hyperinr.files.tensors import read_tensors, write_tensors
from hyperinr.neural_datasets.description import from_json
from hyperinr.neural_datasets.exchange.fit_a_nef import read_fit_a_nef, write_fit_a_nef
from hyperinr.neural_datasets.exchange.inr_table import InrTable, read_table, write_store
from hyperinr.neural_datasets.exchange.torch_files import read_torch, write_torch
from hyperinr.neural_datasets.shards import shard_tensors
from hyperinr.neural_datasets.store import open_store

__all__ = ['EXCHANGE_FORMATS', 'export_store', 'import_store']

EXCHANGE_FORMATS = ('fit-a-nef', 'dwsnets', 'nfn', 'npz', 'safetensors')
"""`fit-a-nef`, `dwsnets` and `nfn` are folders, the others one file."""


def export_store(folder: str | os.PathLike, out: str | os.PathLike, *, format: str, fold_omega: bool = False) -> Path:
    """Write a neural dataset in another format. Importing the result gives the store back, bit for bit.

    Args:
      folder: of the store.
      out: file or folder to write; must not exist.
      format: one of `EXCHANGE_FORMATS`.
      fold_omega: fold omega_0 into the weights; the result says that it was.

    Returns:
      ``out``.

    Raises:
      InputError: an unknown format, an output that exists, or INRs that the format cannot hold.
    """
    _check_format(format)
    out = Path(out)
    if out.exists():
        raise InputError(f'{out} exists; give a new path.')
    table = read_table(open_store(folder), fold=fold_omega)
    if format == 'fit-a-nef':
        return write_fit_a_nef(out, table)
    if format in ('dwsnets', 'nfn'):
        return write_torch(out, table, layout=format)
    write_tensors(out, shard_tensors(table.weights, table.columns), table.description.as_json(), format=format)
    return out


def import_store(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    format: str,
    data_range: tuple[float, float] = (0.0, 1.0),
) -> Path:
    """Make a store of what another format holds.

    Args:
      path: file or folder of `export_store`, or a folder of fit-a-nef's own.
      folder: of the new store.
      format: one of `EXCHANGE_FORMATS`.
      data_range: of the INRs' values, for files that do not say it.

    Returns:
      ``folder``.

    Raises:
      InputError: an unknown format, files that are missing or damaged, or a folder that is not empty.
    """
    _check_format(format)
    if not Path(path).exists():
        raise InputError(f'{path}: no such file or folder.')
    if format == 'fit-a-nef':
        table = read_fit_a_nef(path, data_range=data_range)
    elif format in ('dwsnets', 'nfn'):
        table = read_torch(path)
    else:
        tensors, content = read_tensors(path, format=format)
        description = from_json(content, path)
        table = InrTable(tensors.pop('weights'), tensors, description)
    return write_store(folder, table)


def _check_format(format: str) -> None:
    if format not in EXCHANGE_FORMATS:
        raise InputError(f'--format {format!r} is none of {", ".join(EXCHANGE_FORMATS)}.')
