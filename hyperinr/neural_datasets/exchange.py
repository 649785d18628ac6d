"""Neural datasets in other formats: `export_store` and `import_store`, and the two single-file formats."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files import replacing
from hyperinr.neural_datasets.bundle import Bundle, bundle_of, write_store
from hyperinr.neural_datasets.description import from_json
from hyperinr.neural_datasets.fit_a_nef import read_fit_a_nef, write_fit_a_nef
from hyperinr.neural_datasets.shards import COLUMNS
from hyperinr.neural_datasets.store import open_store
from hyperinr.neural_datasets.torch_files import read_torch, write_torch

__all__ = ['EXCHANGE_FORMATS', 'export_store', 'import_store']

EXCHANGE_FORMATS = ('fit-a-nef', 'dwsnets', 'nfn', 'npz', 'safetensors')
"""`fit-a-nef`, `dwsnets` and `nfn` are folders, the others one file."""


def export_store(folder: str | os.PathLike, out: str | os.PathLike, *, format: str, fold_omega: bool = False) -> Path:
    """Writes a neural dataset in another format. Importing the result gives the store back, bit for bit.

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
    bundle = bundle_of(open_store(folder), fold=fold_omega)
    if format == 'fit-a-nef':
        return write_fit_a_nef(out, bundle)
    if format in ('dwsnets', 'nfn'):
        return write_torch(out, bundle, layout=format)
    return _write_file(out, bundle, format)


def import_store(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    format: str,
    data_range: tuple[float, float] = (0.0, 1.0),
) -> Path:
    """Makes a store of what another format holds.

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
        bundle = read_fit_a_nef(path, data_range=data_range)
    elif format in ('dwsnets', 'nfn'):
        bundle = read_torch(path)
    else:
        bundle = _read_file(Path(path), format)
    return write_store(folder, bundle)


def _check_format(format: str) -> None:
    if format not in EXCHANGE_FORMATS:
        raise InputError(f'--format {format!r} is none of {", ".join(EXCHANGE_FORMATS)}.')


def _write_file(path: Path, bundle: Bundle, format: str) -> Path:
    """``weights [R, P]``, the columns ``[R]``, and ``dataset.json`` as text under ``metadata``."""
    from safetensors.numpy import save

    text = json.dumps(bundle.description.as_json())
    tensors = {name: np.ascontiguousarray(bundle.columns[name], dtype) for name, dtype in COLUMNS.items()}
    tensors['weights'] = np.ascontiguousarray(bundle.weights)
    with replacing(path) as temporary, temporary.open('wb') as file:
        if format == 'npz':
            np.savez(file, allow_pickle=False, metadata=np.array(text), **tensors)
        else:
            file.write(save(tensors, metadata={'metadata': text}))
    return path


def _read_file(path: Path, format: str) -> Bundle:
    try:
        if format == 'npz':
            with path.open('rb') as file, np.load(file, allow_pickle=False) as archive:
                tensors: Mapping[str, np.ndarray] = dict(archive)
            text = str(tensors['metadata'])
        else:
            from safetensors import safe_open

            with safe_open(path, 'np') as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                text = opened.metadata()['metadata']
        columns = {name: tensors[name] for name in COLUMNS}
        return Bundle(tensors['weights'], columns, from_json(json.loads(text), path))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f'{path} is not a {format} file of hyperinr export, or damaged ({error}).') from error
