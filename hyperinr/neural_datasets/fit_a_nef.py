"""The HDF5 files of fit-a-nef, which neural-field-arena reads.

Papa, Valperga, Knigge, Kofinas, Lippe, Sonke and Gavves, "How to train neural field representations: a comprehensive
study and benchmark" (2024). A folder holds ``nefs_<start>-<end>.hdf5``, each with ``params [n, P]``, ``param_config``
(one JSON text of ``[[name, shape], ...]`` in the order of a row) and what else is known of the INRs, like ``labels``;
``nef.json`` says which network and ``cfg.json`` what was fitted. Its SIREN has one omega_0 for all sine layers.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files import replacing, write_json
from hyperinr.neural_datasets.bundle import Bundle, foreign_bundle
from hyperinr.neural_datasets.description import Description, from_json
from hyperinr.neural_datasets.shards import COLUMNS
from hyperinr.types import DatasetSpec
from hyperinr.weights import WeightSpec

__all__ = ['read_fit_a_nef', 'write_fit_a_nef']

OURS = 'hyperinr.json'
COORDINATES = 'as fit-a-nef fitted them: evenly spaced from -1 to 1, both ends included, coordinate 0 along columns'
SHARD_SIZE = 1024


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError("the format 'fit-a-nef' needs h5py; install hyperinr[hdf5].") from None
    return h5py


def _their_name(path: str, depth: int) -> str:
    layer, name = path.split('/')
    number = int(layer.removeprefix('layer_'))
    kind = {'b': 'bias', 'w': 'kernel'}[name]
    return f'output_linear.{kind}' if number == depth else f'kernel_net_{number}.linear.{kind}'


def _our_path(name: str, depth: int) -> str:
    module, _, kind = name.rpartition('.')
    number = depth if module == 'output_linear' else int(module.removeprefix('kernel_net_').removesuffix('.linear'))
    return f'layer_{number}/{ {"bias": "b", "kernel": "w"}[kind] }'


def write_fit_a_nef(out: str | os.PathLike, bundle: Bundle) -> Path:
    """Writes a folder of HDF5 files, one for each shard.

    Their order of tensors is ours: layer by layer, the bias before the kernel ``[in, out]``.

    Raises:
      InputError: not a SIREN, two different omega_0, or h5py is missing.
    """
    h5py, out, description = _h5py(), Path(out), bundle.description
    about = description.inr
    if about.get('kind') != 'siren':
        raise InputError(f'fit-a-nef knows SIRENs; these INRs are of the kind {about.get("kind")!r}.')
    if about['omega_0'] != about['hidden_omega_0'] and about['depth'] > 1:
        raise InputError(
            f'a SIREN of fit-a-nef has one omega_0, these have {about["omega_0"]} and {about["hidden_omega_0"]}; '
            'add --fold-omega.'
        )
    structure = [
        [_their_name(path, about['depth']), list(shape)]
        for path, shape in zip(description.weights.paths, description.weights.shapes, strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    spec = description.spec
    network = {
        'hidden_dim': about['width'],
        'num_layers': about['depth'] + 1,
        'omega_0': about['omega_0'],
        'output_dim': about['channels'],
    }
    write_json(out / 'nef.json', {'name': 'SIREN', 'params': network})
    write_json(
        out / 'cfg.json',
        {
            'dataset': {'name': spec.name, 'out_channels': spec.channels},
            'seeds': list(description.seeds),
            'train': {'start_idx': 0, 'end_idx': len(bundle.weights), **dict(description.fitting)},
        },
    )
    write_json(out / OURS, description.as_json())
    for begin in range(0, len(bundle.weights), description.shard_size):
        end = min(begin + description.shard_size, len(bundle.weights))
        with replacing(out / f'nefs_{begin}-{end}.hdf5') as temporary, h5py.File(temporary, 'w') as file:
            file.create_dataset('params', data=bundle.weights[begin:end])
            text = file.create_dataset('param_config', (1,), dtype=h5py.special_dtype(vlen=str))
            text[0] = json.dumps(structure)
            file.create_dataset('labels', data=bundle.columns['label'][begin:end].astype(np.int64))
            for name, dtype in COLUMNS.items():
                file.create_dataset(f'hyperinr.{name}', data=bundle.columns[name][begin:end].astype(dtype))
    return out


def read_fit_a_nef(path: str | os.PathLike, *, data_range: tuple[float, float]) -> Bundle:
    """Reads a folder of such files, written here or by fit-a-nef.

    Args:
      path: the folder.
      data_range: ``(low, high)`` of the values that the INRs give, where the files do not say it.

    Raises:
      InputError: no such files, of a network other than a SIREN, gaps, damage, or h5py is missing.
    """
    h5py, path = _h5py(), Path(path)
    files = sorted(path.glob('nefs_*.hdf5'), key=lambda file: int(file.stem.split('_')[1].split('-')[0]))
    if not files:
        raise InputError(f'{path} holds no nefs_<start>-<end>.hdf5.')
    parts, structure = [], None
    for file in files:
        try:
            with h5py.File(file, 'r') as opened:
                found = json.loads(opened['param_config'][0])
                parts.append({name: np.asarray(opened[name]) for name in opened if name != 'param_config'})
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f'{file} is not a file of fit-a-nef, or damaged ({error}).') from error
        if structure is not None and found != structure:
            raise InputError(f'{file} has other tensors than the files before it; import them apart.')
        structure = found
    network = _network(path)
    depth = network['num_layers'] - 1
    rows = np.concatenate([part['params'] for part in parts]).astype(np.float32)
    tensors: dict[str, dict[str, np.ndarray]] = {}
    begin = 0
    for name, shape in structure or []:
        layer, tensor = _our_path(name, depth).split('/')
        size = int(np.prod(shape))
        tensors.setdefault(layer, {})[tensor] = rows[:, begin : begin + size].reshape(-1, *shape)
        begin += size
    one = {layer: {name: leaf[0] for name, leaf in leaves.items()} for layer, leaves in tensors.items()}
    weight_spec = weights_lib.spec_of(one)
    weights = np.asarray(weights_lib.flatten(tensors, weight_spec))
    if (path / OURS).is_file():
        description = from_json(json.loads((path / OURS).read_text(encoding='utf-8')), path / OURS)
        columns = {name: np.concatenate([part[f'hyperinr.{name}'] for part in parts]) for name in COLUMNS}
        return Bundle(weights, columns, description)
    labels = [part.get('labels', np.full(len(part['params']), -1)).reshape(len(part['params']), -1) for part in parts]
    label = np.concatenate(labels)[:, 0]
    return foreign_bundle(weights, label, _description(path, network, weight_spec, len(weights), data_range))


def _network(path: Path) -> Mapping[str, Any]:
    for name in ('nef.json', 'nef_cfg.json'):
        if (path / name).is_file():
            try:
                content = json.loads((path / name).read_text(encoding='utf-8'))
                if content['name'] != 'SIREN':
                    raise InputError(f'{path / name}: only SIRENs can be imported, this is a {content["name"]}.')
                return {key: content['params'][key] for key in ('hidden_dim', 'num_layers', 'omega_0')}
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f'{path / name} does not describe a network ({error!r}).') from error
    raise InputError(f'{path} has no nef.json, which says the omega_0; copy it there.')


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
