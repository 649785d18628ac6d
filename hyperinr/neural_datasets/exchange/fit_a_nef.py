"""Read and write the HDF5 files of fit-a-nef, which neural-field-arena reads.

Papa, Valperga, Knigge, Kofinas, Lippe, Sonke and Gavves, "How to train neural field representations: a comprehensive
study and benchmark" (2024). A folder holds files ``nefs_<start>-<end>.hdf5``, each with ``params [n, P]``,
``param_config`` (one JSON text of ``[[name, shape], ...]`` in the order of a row) and further properties of the INRs,
such as ``labels``. ``nef.json`` describes the network and ``cfg.json`` the fit. Its SIREN has one omega_0 for all sine
layers.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import Description, from_json
from hyperinr.neural_datasets.exchange.inr_table import InrTable, foreign_table, tensor_names
from hyperinr.neural_datasets.shards import COLUMNS
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import read_json, replacing, write_json
from hyperinr.types import DatasetSpec
from hyperinr.weights import WeightSpec

__all__ = ['read_fit_a_nef', 'write_fit_a_nef']

OURS = 'hyperinr.json'
COORDINATES = 'as fit-a-nef fitted them: evenly spaced from -1 to 1, both ends included, coordinate 0 along columns'
SHARD_SIZE = 1024


def _h5py() -> Any:
    return import_extra('h5py', needed_by="the format 'fit-a-nef'", package='h5py', extra='hdf5')


def write_fit_a_nef(out: Path, table: InrTable) -> None:
    """Write a folder of HDF5 files, one for each shard of SIRENs.

    Both orders of tensors are the same: layer by layer, the bias before the kernel ``[in, out]``.

    Raises:
      InputError: the SIRENs have two different omega_0, or h5py is missing.
    """
    h5py, description = _h5py(), table.description
    about = description.inr
    if about['omega_0'] != about['hidden_omega_0'] and about['depth'] > 1:
        raise InputError(
            f'a SIREN of fit-a-nef has one omega_0, these have {about["omega_0"]} and {about["hidden_omega_0"]}; '
            'add --fold-omega.'
        )
    names, paths, shapes = (
        tensor_names('fit-a-nef', about['depth']),
        description.weights.paths,
        description.weights.shapes,
    )
    structure = [[names[path], list(shape)] for path, shape in zip(paths, shapes, strict=True)]
    spec, count = description.spec, len(table.weights)
    network = {
        'hidden_dim': about['width'],
        'num_layers': about['depth'] + 1,
        'omega_0': about['omega_0'],
        'output_dim': about['channels'],
    }
    config = {
        'dataset': {'name': spec.name, 'out_channels': spec.channels},
        'seeds': list(description.seeds),
        'train': {'start_idx': 0, 'end_idx': count, **description.fitting},
    }
    write_json(out / 'nef.json', {'name': 'SIREN', 'params': network})
    write_json(out / 'cfg.json', config)
    write_json(out / OURS, description.as_json())
    for begin in range(0, count, description.shard_size):
        end = min(begin + description.shard_size, count)
        with replacing(out / f'nefs_{begin}-{end}.hdf5') as temporary, h5py.File(temporary, 'w') as file:
            file.create_dataset('params', data=table.weights[begin:end])
            text = file.create_dataset('param_config', (1,), dtype=h5py.special_dtype(vlen=str))
            text[0] = json.dumps(structure)
            file.create_dataset('labels', data=table.columns['label'][begin:end].astype(np.int64))
            for name, dtype in COLUMNS.items():
                file.create_dataset(f'hyperinr.{name}', data=table.columns[name][begin:end].astype(dtype))


def read_fit_a_nef(path: str | os.PathLike, *, data_range: tuple[float, float]) -> InrTable:
    """Read a folder of HDF5 files written by `write_fit_a_nef` or by fit-a-nef.

    Args:
      path: the folder.
      data_range: ``(low, high)`` of the INRs' values, for files that do not state it.

    Raises:
      InputError: there are no such files, the network is no SIREN, files have gaps or are damaged, or h5py is missing.
    """
    h5py, path = _h5py(), Path(path)
    files = sorted(path.glob('nefs_*.hdf5'), key=lambda file: int(file.stem.split('_')[1].split('-')[0]))
    if not files:
        raise InputError(f'{path} holds no nefs_<start>-<end>.hdf5.')
    network = _network(path)
    names = tensor_names('fit-a-nef', network['num_layers'] - 1)
    our_paths = {name: path for path, name in names.items()}
    parts, specs = [], set()
    for file in files:
        try:
            with h5py.File(file, 'r') as opened:
                structure = json.loads(opened['param_config'][0])
                parts.append({name: np.asarray(opened[name]) for name in opened if name != 'param_config'})
            paths, shapes = zip(*((our_paths[name], tuple(shape)) for name, shape in structure), strict=True)
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f'{file} is not a file of fit-a-nef, or damaged ({error}).') from error
        specs.add(WeightSpec(paths, shapes))
    if len(specs) > 1:
        raise InputError(f'the files in {path} hold {len(specs)} different structures of tensors; import them apart.')
    rows = np.concatenate([part['params'] for part in parts]).astype(np.float32)
    tensors = weights_lib.unflatten(rows, specs.pop())
    weight_spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], tensors))
    weights = np.asarray(weights_lib.flatten(tensors, weight_spec))
    if (path / OURS).is_file():
        description = from_json(read_json(path / OURS), path / OURS)
        columns = {name: np.concatenate([part[f'hyperinr.{name}'] for part in parts]) for name in COLUMNS}
        return InrTable(weights, columns, description)
    labels = [part.get('labels', np.full(len(part['params']), -1)).reshape(len(part['params']), -1) for part in parts]
    label = np.concatenate(labels)[:, 0]
    return foreign_table(weights, label, _description(path, network, weight_spec, len(weights), data_range))


def _network(path: Path) -> Mapping[str, Any]:
    for name in ('nef.json', 'nef_cfg.json'):
        if (path / name).is_file():
            content = read_json(path / name)
            try:
                kind, network = content['name'], content['params']
                network = {key: network[key] for key in ('hidden_dim', 'num_layers', 'omega_0')}
            except (KeyError, TypeError) as error:
                raise InputError(f'{path / name} does not describe a network ({error!r}).') from error
            if kind != 'SIREN':
                raise InputError(f'{path / name}: only SIRENs can be imported, this is a {kind}.')
            return network
    raise InputError(f'{path} has no nef.json, which states omega_0; copy it there.')


def _description(
    path: Path, network: Mapping[str, Any], spec: WeightSpec, count: int, data_range: tuple[float, float]
) -> Description:
    shapes = dict(zip(spec.paths, spec.shapes, strict=True))
    depth = network['num_layers'] - 1
    channels = shapes[f'layer_{depth}/b'][0]
    coord_dims = shapes['layer_0/w'][0]
    omega = float(network['omega_0'])
    return Description(
        inr={
            'kind': 'siren',
            'channels': channels,
            'width': network['hidden_dim'],
            'depth': depth,
            'omega_0': omega,
            'hidden_omega_0': omega,
        },
        weights=spec,
        spec=DatasetSpec(path.name, None, 0, coord_dims, channels, data_range),
        coordinates=COORDINATES,
        source={'splits': [['imported', count]], 'version': ''},
        seeds=(0,),
        num_signals=count,
        shard_size=SHARD_SIZE,
        start={'kind': 'imported', 'format': 'fit-a-nef'},
        fitting={},
        config='',
        versions={},
    )
