"""A table of all INRs of a store in memory, the intermediate form between a store and another format."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files.weights import fold_omega
from hyperinr.neural_datasets.description import START_KINDS, Description
from hyperinr.neural_datasets.description_checks import check_inr
from hyperinr.neural_datasets.exchange.table_checks import check_rows, checked_columns
from hyperinr.neural_datasets.identity import identity
from hyperinr.neural_datasets.shards import COLUMNS, write_shards
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.neural_datasets.worker import open_for_fitting

__all__ = ['LAYOUTS', 'InrTable', 'foreign_table', 'read_table', 'tensor_names', 'unnamed_source', 'write_store']

LAYOUTS = {
    'fit-a-nef': ('kernel_net_{}.linear', 'output_linear', 'kernel'),
    'dwsnets': ('seq.{}', 'seq.{}', 'weight'),
    'nfn': ('net.{}.linear', 'net.{}', 'weight'),
}
"""Formats that hold SIRENs alone -> their names of a hidden layer, the output layer and a matrix."""


class InrTable(NamedTuple):
    """R INRs with their columns and description.

    Attributes:
      weights: ``[R, P]`` float32, in the order of ``description.weights``.
      columns: the columns of `shards.COLUMNS`, each ``[R]``. `write_store` checks all that a file gave.
      description: description of their store.
    """

    weights: np.ndarray
    columns: Mapping[str, np.ndarray]
    description: Description


def tensor_names(format: str, depth: int) -> dict[str, str]:
    """Return path -> name in a format of `LAYOUTS`, layer by layer, the matrix before the bias.

    Example:
      >>> tensor_names('nfn', 1)['layer_1/w']
      'net.1.weight'
    """
    hidden, output, matrix = LAYOUTS[format]
    names: dict[str, str] = {}
    for layer in range(depth + 1):
        theirs = (output if layer == depth else hidden).format(layer)
        names |= {f'layer_{layer}/w': f'{theirs}.{matrix}', f'layer_{layer}/b': f'{theirs}.bias'}
    return names


def read_table(store: NeuralDataset, *, fold: bool = False) -> InrTable:
    """Read all INRs of a store.

    Args:
      store: complete or incomplete.
      fold: whether to multiply each sine layer's weights by its omega_0, so that every layer is ``sin(x w + b)``.

    Raises:
      InputError: the store is empty, or its INRs have no omega_0 to fold.
    """
    if len(store) == 0:
        raise InputError(f'{store.folder} holds no INRs yet; fit some first.')
    description, weights = store.description, store.weights()
    if fold:
        folded, metadata = fold_omega(weights_lib.unflatten(weights, description.weights), description.inr)
        weights = np.asarray(weights_lib.flatten(folded, description.weights))
        description = description._replace(inr=metadata)
    return InrTable(weights, {name: store.column(name) for name in COLUMNS}, description)


def foreign_table(weights: np.ndarray, labels: np.ndarray, description: Description) -> InrTable:
    """Make a table of INRs of which only the labels ``[R]`` are known. Errors are NaN and steps -1."""
    count = len(weights)
    known = {'index': np.arange(count), 'source_index': np.arange(count), 'label': labels}
    unknown = {'start': START_KINDS.index('imported'), 'steps': -1, **dict.fromkeys(('mse', 'psnr_db', 'iou'), np.nan)}
    columns = {name: known.get(name, np.full(count, unknown.get(name, 0), dtype)) for name, dtype in COLUMNS.items()}
    return InrTable(weights, columns, description)


def unnamed_source(weights: np.ndarray) -> dict[str, Any]:
    """Return the entry ``source`` of INRs of unknown signals, which their weights ``[R, P]`` tell from others."""
    digest = hashlib.sha256(np.asarray(weights, np.float32).tobytes()).hexdigest()
    return {'splits': [['imported', len(weights)]], 'version': '', 'fingerprint': digest}


def write_store(folder: str | os.PathLike, table: InrTable, where: str | os.PathLike) -> Path:
    """Make a store from a table. Everything is checked before anything is written.

    A whole index space becomes its original store, shard by shard. A part of an index space is renumbered as signals of
    one seed. It and folded INRs get no config, since no config could fit their missing shards.

    Args:
      folder: folder of the store; absent or empty.
      table: what a file holds.
      where: its file, for messages.

    Raises:
      InputError: the folder is not empty, or the table does not match its description, as in `table_checks`.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise InputError(f'{folder} is not empty; import into a new folder.')
    description, count = table.description, len(table.weights)
    check_inr(description, where)
    columns = checked_columns(table.columns, count, description, where)
    weights = check_rows(table.weights, columns['status'], description, where)
    if description.inr.get('omega_folded'):
        description = description._replace(config='')
    if count != description.size:
        description = description._replace(seeds=(0,), num_signals=count, config='', source=unnamed_source(weights))
        columns['index'] = columns['source_index'] = np.arange(count)
        columns['seed'] = np.zeros(count, np.int64)
    open_for_fitting(folder, description)
    cut = lambda begin, end: {name: column[begin:end] for name, column in columns.items()}
    parts = ((weights[begin:end], cut(begin, end)) for begin, end in description.shards())
    write_shards(folder, parts, store=identity(description))
    return folder
