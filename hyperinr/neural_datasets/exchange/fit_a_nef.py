"""Read and write the HDF5 files of fit-a-nef, which neural-field-arena reads.

Papa, Valperga, Knigge, Kofinas, Lippe, Sonke and Gavves, "How to train neural field representations: a comprehensive
study and benchmark" (2024). A folder holds files ``nefs_<start>-<end>.hdf5``, each with ``params [n, P]``,
``param_config`` (one JSON text of ``[[name, shape], ...]`` in the order of a row) and further properties of the INRs,
such as ``labels``. ``nef.json`` describes the network and ``cfg.json`` the fit. Its SIREN has one omega_0 for all sine
layers.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, first_line
from hyperinr.neural_datasets.description import Description, from_json
from hyperinr.neural_datasets.description_checks import is_count
from hyperinr.neural_datasets.exchange.hdf5_values import read_numbers, read_text
from hyperinr.neural_datasets.exchange.inr_table import InrTable, foreign_table, tensor_names, unnamed_source
from hyperinr.neural_datasets.exchange.table_checks import exact
from hyperinr.neural_datasets.shards import COLUMNS
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import read_json, replacing, write_json
from hyperinr.types import DatasetSpec
from hyperinr.weights import WeightSpec

__all__ = ['read_fit_a_nef', 'write_fit_a_nef']

OURS = 'hyperinr.json'
COORDINATES = 'as fit-a-nef fitted them: evenly spaced from -1 to 1, both ends included, coordinate 0 along columns'
SHARD_SIZE = 1024
MOST_LAYERS, MOST_OMEGA = 2**16, 1e9


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
    write_json(out / OURS, description.as_json(num_inrs=count))
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
      InputError: there are no such files, the network is no SIREN, a file is missing, damaged or refers to others, or
        h5py is missing.
    """
    path = Path(path)
    network = _network(path)
    content = read_json(path / OURS) if (path / OURS).is_file() else None
    description = None if content is None else from_json(content, path / OURS)
    names = ['labels'] if description is None else [f'hyperinr.{name}' for name in COLUMNS]
    parts, specs = [], set()
    for file, count in _files(path):
        spec, part = _read_file(file, count, network, names)
        specs.add(spec)
        parts.append(part)
    if len(specs) > 1:
        raise InputError(f'the files in {path} hold {len(specs)} different structures of tensors; import them apart.')
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows = joined['params']
    if content is not None and content.get('num_inrs') != len(rows):
        raise InputError(f'{path} holds {len(rows)} INRs, and {OURS} says {content.get("num_inrs")}; export it again.')
    tensors = weights_lib.unflatten(rows, specs.pop())
    weight_spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], tensors))
    weights = np.asarray(weights_lib.flatten(tensors, weight_spec))
    if description is None:
        description = _description(path, network, weight_spec, weights, data_range)
        return foreign_table(weights, joined['labels'], description)
    if description.weights != weight_spec:
        raise InputError(f'the files in {path} hold other tensors than {OURS} says; export it again.')
    return InrTable(weights, {name: joined[f'hyperinr.{name}'] for name in COLUMNS}, description)


def _files(path: Path) -> list[tuple[Path, int]]:
    """Return the files of a folder in order, with the number of INRs that their names say.

    Raises:
      InputError: there are none, a name is wrong, or a file of the row is missing.
    """
    ranges = {}
    for file in path.glob('nefs_*.hdf5'):
        match = re.fullmatch(r'nefs_(\d+)-(\d+)\.hdf5', file.name, re.ASCII)
        if not match or not file.is_file():
            raise InputError(f'{str(file)!r} is no file nefs_<start>-<end>.hdf5; move it away.')
        ranges[int(match[1]), int(match[2])] = file
    if not ranges:
        raise InputError(f'{path} holds no nefs_<start>-<end>.hdf5.')
    done = 0
    for begin, end in sorted(ranges):
        if begin != done or end <= begin:
            raise InputError(f'{path} has no file for INR {done}: the next is {ranges[begin, end].name}; add the file.')
        done = end
    return [(file, end - begin) for (begin, end), file in sorted(ranges.items())]


def _read_file(
    file: Path, count: int, network: Mapping[str, Any], names: Sequence[str]
) -> tuple[WeightSpec, dict[str, np.ndarray]]:
    """Read the structure, ``params [count, P]`` in float32 and the columns ``names [count]`` of a file.

    Raises:
      InputError: the file is damaged or holds other numbers.
    """
    our_paths = {name: path for path, name in tensor_names('fit-a-nef', network['num_layers'] - 1).items()}
    try:
        with _h5py().File(file, 'r') as opened:
            structure = json.loads(read_text(opened, 'param_config'))
            params = read_numbers(opened, 'params')
            part = {name: read_numbers(opened, name) for name in names if name != 'labels' or name in set(opened)}
        paths, shapes = zip(*((our_paths[name], tuple(shape)) for name, shape in structure), strict=True)
        for name, values in part.items():
            if len(values) != count:
                raise ValueError(f'{name} has {len(values)} rows instead of {count}')
        spec = WeightSpec(paths, shapes)
        right = [
            len(shape) == 1 + path.endswith('/w') and all(map(is_count, shape))
            for path, shape in zip(paths, shapes, strict=True)
        ]
        if len(set(paths)) != len(our_paths) or not all(right):
            raise ValueError('param_config does not give every tensor once, with its shape')
    except Exception as error:  # h5py raises errors of many types.
        raise InputError(f'{file} is not a file of fit-a-nef, or damaged ({first_line(error)}).') from error
    shape = (count, weights_lib.count(spec))
    part['params'] = exact('params', params, np.dtype(np.float32), shape, file)
    labels = part.get('labels', np.full(count, -1)) if 'labels' in names else None
    if labels is not None:
        flat = labels.reshape(-1) if labels.shape == (count, 1) else labels
        part['labels'] = exact('labels', flat, COLUMNS['label'], (count,), file)
    return spec, part


def _network(path: Path) -> Mapping[str, Any]:
    for name in ('nef.json', 'nef_cfg.json'):
        if (path / name).is_file():
            content = read_json(path / name)
            try:
                kind, network = content['name'], content['params']
                network = {key: network[key] for key in ('hidden_dim', 'num_layers', 'omega_0')}
                depth, omega = network['num_layers'] - 1, float(network['omega_0'])
                if not (is_count(depth, MOST_LAYERS) and is_count(network['hidden_dim']) and 0 < omega < MOST_OMEGA):
                    raise ValueError('hidden_dim, num_layers or omega_0 outside their ranges')
            except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                raise InputError(f'{path / name} does not describe a network ({error!r}).') from error
            if kind != 'SIREN':
                raise InputError(f'{path / name}: only SIRENs can be imported, this is a {str(kind)[:50]!r}.')
            return network
    raise InputError(f'{path} has no nef.json, which states omega_0; copy it there.')


def _description(
    path: Path, network: Mapping[str, Any], spec: WeightSpec, weights: np.ndarray, data_range: tuple[float, float]
) -> Description:
    count = len(weights)
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
        source=unnamed_source(weights),
        seeds=(0,),
        num_signals=count,
        shard_size=SHARD_SIZE,
        start={'kind': 'imported', 'format': 'fit-a-nef'},
        fitting={},
        config='',
        versions={},
    )
