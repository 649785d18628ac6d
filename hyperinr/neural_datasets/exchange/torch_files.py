"""Read and write one PyTorch state dict for each INR and a file of splits, as weight-space networks expect.

The layout ``dwsnets`` is that of Navon et al., "Equivariant architectures for learning in deep weight spaces" (2023):
``seq.0.weight`` ``[out, in]``, ``seq.0.bias``, ..., and the network adds 0.5 to its output. The layout ``nfn`` is that
of Zhou et al., "Permutation equivariant neural functionals" (2023): ``net.0.linear.weight``, ..., ``net.L.weight``.
Both read the splits as ``{'train': {'path': [...], 'label': [...]}, 'val': ..., 'test': ...}``.
"""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files.tensors import safetensors_bytes
from hyperinr.neural_datasets.description import Description, from_json
from hyperinr.neural_datasets.exchange.inr_table import InrTable, tensor_names
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
        file_path = out / f'{split}_{label}_{index}' / 'checkpoints' / 'model_final.pth'
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


def _split_names(description: Description, source_index: np.ndarray) -> list[str]:
    splits = description.source['splits']
    ends = np.cumsum([size for _, size in splits])
    names = [SPLIT_NAMES.get(name, name) for name, _ in splits]
    return [names[number] for number in np.searchsorted(ends, source_index, side='right')]


def read_torch(path: str | os.PathLike) -> InrTable:
    """Read a folder that `write_torch` wrote.

    Raises:
      InputError: the folder is no such folder or is damaged, or PyTorch is missing.
    """
    torch, path = _torch(), Path(path)
    try:
        content = read_json(path / OURS)
        columns = load_file(path / COLUMN_FILE)
        output_bias = columns.pop('output_bias')
        description = from_json(content, path / OURS)
        depth = description.inr['depth']
        split_of = _split_names(description, columns['source_index'])
        trees: dict[str, dict[str, list[np.ndarray]]] = {}
        for row, split in enumerate(split_of):
            name = f'{split}_{columns["label"][row]}_{columns["index"][row]}'
            state = torch.load(path / name / 'checkpoints' / 'model_final.pth', weights_only=True)
            for tensor_path, key in tensor_names(content['layout'], depth).items():
                layer, tensor = tensor_path.split('/')
                trees.setdefault(layer, {}).setdefault(tensor, []).append(state[key].numpy().T)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f'{path} is not a folder of state dicts written by hyperinr, or damaged ({error}).') from error
    stacked = {layer: {name: np.stack(rows) for name, rows in tensors.items()} for layer, tensors in trees.items()}
    stacked[f'layer_{depth}']['b'] = output_bias
    return InrTable(np.asarray(weights_lib.flatten(stacked, description.weights)), columns, description)
