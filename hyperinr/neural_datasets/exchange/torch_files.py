"""Read and write one PyTorch state dict for each INR and a file of splits, as weight-space networks expect.

The layout ``dwsnets`` is that of Navon et al., "Equivariant architectures for learning in deep weight spaces" (2023):
``seq.0.weight`` ``[out, in]``, ``seq.0.bias``, ..., and the network adds 0.5 to its output. The layout ``nfn`` is that
of Zhou et al., "Permutation equivariant neural functionals" (2023): ``net.0.linear.weight``, ..., ``net.L.weight``.
Both read the splits as ``{'train': {'path': [...], 'label': [...]}, 'val': ..., 'test': ...}``.
"""

import os
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, first_line
from hyperinr.files.tensors import safetensors_bytes
from hyperinr.neural_datasets.description import Description, from_json
from hyperinr.neural_datasets.description_checks import check_inr
from hyperinr.neural_datasets.exchange.inr_table import InrTable, tensor_names
from hyperinr.neural_datasets.exchange.table_checks import checked_columns, exact
from hyperinr.neural_datasets.shards import COLUMNS
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import read_json, replacing, write_json

__all__ = ['read_torch', 'write_torch']

OUTPUT_SHIFT = {'dwsnets': 0.5, 'nfn': 0.0}
"""Number that the network of a layout adds to its output; subtracted from the last bias on export."""
OURS, SPLITS, COLUMN_FILE = 'hyperinr.json', 'splits.json', 'columns.safetensors'
SPLIT_NAMES = {'validation': 'val'}


def _torch() -> Any:
    return import_extra('torch', needed_by='a state dict', package='PyTorch', extra='torch')


def write_torch(out: Path, table: InrTable, *, layout: str) -> None:
    """Write ``<split>_<label>_<index>/checkpoints/model_final.pth`` for each INR, and ``splits.json``.

    Args:
      out: folder to write.
      table: table of SIRENs.
      layout: ``'dwsnets'`` or ``'nfn'``.

    Raises:
      InputError: PyTorch is missing.
    """
    torch, description = _torch(), table.description
    depth = description.inr['depth']
    trees = weights_lib.unflatten(table.weights, description.weights)
    splits: dict[str, dict[str, list[str]]] = {}
    split_of = _split_names(description, table.columns['source_index'])
    for row, (split, label) in enumerate(zip(split_of, table.columns['label'].tolist(), strict=True)):
        state = OrderedDict()
        for path, name in tensor_names(layout, depth).items():
            layer, tensor = path.split('/')
            value = np.array(trees[layer][tensor][row])
            if path == f'layer_{depth}/b':
                value = value - np.float32(OUTPUT_SHIFT[layout])
            state[name] = torch.from_numpy(np.ascontiguousarray(value.T))
        index = int(table.columns['index'][row])
        file_path = _state_path(out, split, label, index)
        with replacing(file_path) as temporary, temporary.open('wb') as file:
            torch.save(state, file)
        chosen = splits.setdefault(split, {'path': [], 'label': []})
        chosen['path'].append(str(file_path.absolute()))
        chosen['label'].append(str(label))
    write_json(out / SPLITS, splits)
    # The shift by 0.5 may round, so the original last bias is stored too.
    columns = {name: np.asarray(table.columns[name], dtype) for name, dtype in COLUMNS.items()}
    columns['output_bias'] = np.asarray(trees[f'layer_{depth}']['b'])
    with replacing(out / COLUMN_FILE) as temporary:
        temporary.write_bytes(safetensors_bytes(columns))
    write_json(out / OURS, description.as_json(layout=layout, output_shift=OUTPUT_SHIFT[layout]))


def _state_path(folder: Path, split: str, label: int, index: int) -> Path:
    """Return the path of an INR; no name of a split leads out of the folder."""
    return folder / f'{split}_{label}_{index}'.replace('/', '_') / 'checkpoints' / 'model_final.pth'


def _split_names(description: Description, source_index: np.ndarray) -> list[str]:
    splits = description.source['splits']
    ends = np.cumsum([size for _, size in splits])
    names = [SPLIT_NAMES.get(name, name) for name, _ in splits]
    return [names[number] for number in np.searchsorted(ends, source_index, side='right')]


def read_torch(path: str | os.PathLike) -> InrTable:
    """Read a folder that `write_torch` wrote. No code in its files runs.

    Raises:
      InputError: the folder is no such folder, is damaged or contradicts itself, or PyTorch is missing.
    """
    path = Path(path)
    content = read_json(path / OURS, remedy='give a folder of state dicts written by hyperinr')
    description = from_json(content, path / OURS)
    check_inr(description, path / OURS)
    layout = content.get('layout')
    if layout not in OUTPUT_SHIFT or description.inr['kind'] != 'siren':
        raise InputError(f'{path / OURS}: {layout!r} is no layout of SIRENs in state dicts; export them again.')
    depth = description.inr['depth']
    shapes = dict(zip(description.weights.paths, description.weights.shapes, strict=True))
    names = {shape_path: (key, shapes[shape_path]) for shape_path, key in tensor_names(layout, depth).items()}
    try:
        columns = _read_columns(path / COLUMN_FILE)
        output_bias = columns.pop('output_bias')
    except Exception as error:  # Those of safetensors, too.
        raise InputError(f'{path / COLUMN_FILE} is damaged ({first_line(error)}); export it again.') from error
    count = len(output_bias)
    columns = checked_columns(columns, count, description, path / COLUMN_FILE)
    last = f'layer_{depth}/b'
    output_bias = exact('output_bias', output_bias, np.dtype(np.float32), (count, *shapes[last]), path / COLUMN_FILE)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for row, split in enumerate(_split_names(description, columns['source_index'])):
        file_path = _state_path(path, split, columns['label'][row], columns['index'][row])
        for name, value in _read_state(file_path, names).items():
            parts[name].append(value)
    stacked = {name: np.stack(rows) for name, rows in parts.items()}
    if not np.array_equal(stacked[last], output_bias - np.float32(OUTPUT_SHIFT[layout]), equal_nan=True):
        raise InputError(f'{path / COLUMN_FILE} and the state dicts have other output biases; export them again.')
    stacked[last] = output_bias
    rows = [stacked[name].reshape(count, -1) for name in description.weights.paths]
    return InrTable(np.concatenate(rows, axis=1), columns, description)


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ValueError('no such file')
    return load_file(path)


def _read_state(path: Path, names: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """Read the state dict of one INR.

    Args:
      path: a file of ``torch.save``.
      names: path of a tensor -> its key in the file and its shape in a store.

    Returns:
      Path -> tensor ``[*shape]`` float32.

    Raises:
      InputError: the file is missing or damaged, or holds other tensors.
    """
    torch, found = _torch(), {}
    try:
        if not path.is_file():
            raise ValueError('no such file')
        with zipfile.ZipFile(path) as archive:  # torch.save packs nothing.
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise ValueError('it unpacks to more than its size')
        state = torch.load(path, weights_only=True, map_location='cpu')
        for name, (key, shape) in names.items():
            value = state[key]
            if value.layout != torch.strided or value.dtype != torch.float32 or tuple(value.shape) != shape[::-1]:
                raise ValueError(f'{key} is {value.dtype} {tuple(value.shape)} instead of float32 {shape[::-1]}')
            found[name] = value.numpy().T
    except Exception as error:  # Those of pickle and of PyTorch.
        raise InputError(f'{path} is no state dict of these INRs, or damaged ({first_line(error)}).') from error
    return found
