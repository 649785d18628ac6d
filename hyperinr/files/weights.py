"""Files of INR weights (NumPy archive, safetensors or PyTorch state dict) with the metadata to evaluate them.

Tensors are named ``layer_0.w`` ``[in, out]`` and ``layer_0.b`` ``[out]``. If a file holds several INRs, every tensor
has a leading axis ``[T, ...]``. The metadata is JSON under the name ``metadata``. A PyTorch state dict has the names of
the package siren-pytorch and the ``[out, in]`` layout of ``torch.nn.Linear``; its metadata is a JSON file beside it.
"""

import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.files.tensors import TENSOR_FORMATS, read_tensors, write_tensors
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.outputs import TORCH_MARK, replacing_output, write_json_output
from hyperinr.types import Inr, InrWeights

__all__ = [
    'FORMATS',
    'check_foldable',
    'check_format',
    'check_same_inr',
    'fold_omega',
    'read_weights',
    'torch_state_dict',
    'weight_files',
    'write_weights',
]

SCHEMA_VERSION = 1
"""Version of the metadata. It rises when an old reader could misread a new file."""


def check_foldable(metadata: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the metadata describes a SIREN, whose layers have an omega_0."""
    if metadata.get('kind') != 'siren':
        raise InputError(f'only a SIREN has an omega_0 to fold; these weights belong to a {metadata.get("kind")!r}.')


@checked
def fold_omega(weights: InrWeights, metadata: Mapping[str, Any]) -> tuple[InrWeights, dict[str, Any]]:
    """Multiply each sine layer's tensors by its frequency factor, so that every layer becomes ``sin(x w + b)``.

    The first layer's weights also absorb an input deviation other than 1.

    Args:
      weights: weights of a SIREN, leaves ``[..., *shape]``.
      metadata: has ``kind``, ``depth``, ``omega_0``, ``hidden_omega_0`` and, unless it is 1, ``input_deviation``.

    Returns:
      Weights and metadata of the same function with ``omega_0 = hidden_omega_0 = 1``.

    Raises:
      InputError: the INR has no sine layers.
    """
    check_foldable(metadata)
    missing = {'depth', 'omega_0', 'hidden_omega_0'} - metadata.keys()
    if missing:
        raise InputError(f'the metadata of a SIREN lack {", ".join(sorted(missing))}.')
    weights, metadata = _fold_input_deviation(weights, metadata)
    factors = {f'layer_{layer}': metadata['hidden_omega_0'] for layer in range(1, metadata['depth'])}
    factors['layer_0'] = metadata['omega_0']
    folded = {
        layer: {name: np.float32(factors.get(layer, 1.0)) * np.asarray(leaf) for name, leaf in tensors.items()}
        for layer, tensors in weights.items()
    }
    return folded, {**metadata, 'omega_0': 1.0, 'hidden_omega_0': 1.0, 'omega_folded': True}


def _fold_input_deviation(weights: InrWeights, metadata: Mapping[str, Any]) -> tuple[InrWeights, Mapping[str, Any]]:
    """Return the same function with an input deviation of 1."""
    deviation = metadata.get('input_deviation', 1.0)
    if deviation == 1:
        return weights, metadata
    first = weights['layer_0']
    divided = {**first, 'w': np.asarray(first['w']) / np.float32(deviation)}
    return {**weights, 'layer_0': divided}, {**metadata, 'input_deviation': 1.0}


@checked
def torch_state_dict(weights: InrWeights) -> OrderedDict:
    """Convert to ``layers.0.weight`` ``[out, in]``, ``layers.0.bias``, ..., ``last_layer.weight``, ``last_layer.bias``.

    ``siren_pytorch.SirenNet(w0_initial=omega_0, w0=hidden_omega_0, ...)`` loads it strictly if the INR is a SIREN with
    an input deviation of 1.

    Raises:
      InputError: the INR is not a chain of linear layers with weights and biases, or PyTorch is not installed.
    """
    if len(weights) < 2 or any(
        set(tensors) != {'w', 'b'} or not re.fullmatch(r'layer_\d+', name) or np.asarray(tensors['w']).ndim < 2
        for name, tensors in weights.items()
    ):
        raise InputError(
            "the format 'pt' holds a chain of linear layers with a weight and a bias each; this INR has other tensors: "
            "choose 'npz' or 'safetensors'."
        )
    if set(weights) != {f'layer_{layer}' for layer in range(len(weights))}:
        raise InputError(f'a chain of layers is layer_0, layer_1, ... without gaps, not {", ".join(sorted(weights))}.')
    torch = import_extra('torch', needed_by="the format 'pt'", package='PyTorch', extra='torch')
    state = OrderedDict()
    depth = len(weights) - 1
    for layer in range(depth + 1):
        prefix = 'last_layer' if layer == depth else f'layers.{layer}'
        tensors = weights[f'layer_{layer}']
        state[f'{prefix}.weight'] = torch.tensor(np.swapaxes(np.asarray(tensors['w']), -1, -2).copy())
        state[f'{prefix}.bias'] = torch.tensor(np.array(tensors['b']))
    return state


def _write_tensors(path: Path, weights: InrWeights, metadata: Mapping[str, Any]) -> None:
    names = (path.split('/') for path in weights_lib.spec_of(weights).paths)
    tensors = {f'{layer}.{name}': np.ascontiguousarray(weights[layer][name], np.float32) for layer, name in names}
    write_tensors(path, tensors, metadata, format=path.suffix.removeprefix('.'))


def _write_torch(path: Path, weights: InrWeights, metadata: Mapping[str, Any]) -> None:
    if metadata.get('kind') == 'siren':
        weights, metadata = _fold_input_deviation(weights, metadata)
    state = torch_state_dict(weights)
    import torch

    state._metadata = OrderedDict({TORCH_MARK: {}})  # type: ignore[attr-defined]  # Where PyTorch keeps versions.
    write_json_output(weight_files(path)[1], metadata)
    with replacing_output(path) as temporary, temporary.open('wb') as file:
        torch.save(state, file)


FORMATS: Mapping[str, Callable[[Path, InrWeights, Mapping[str, Any]], None]] = {
    'npz': _write_tensors,
    'safetensors': _write_tensors,
    'pt': _write_torch,
}
"""Name of a format, also the suffix of its files -> writer."""


def check_format(format: str) -> None:
    """Raise `InputError` unless a format or file suffix is in `FORMATS`."""
    if format.removeprefix('.') not in FORMATS:
        raise InputError(f'unknown weight format {format!r}; choose one of {", ".join(FORMATS)}.')


def weight_files(path: Path) -> list[Path]:
    """Return the files that `write_weights` writes for this path."""
    return [path, path.with_suffix('.json')] if path.suffix == '.pt' else [path]


@checked
def write_weights(path: str | os.PathLike, weights: InrWeights, metadata: Mapping[str, Any]) -> None:
    """Write one file in the format of its suffix: first under a temporary name, which is then changed.

    Args:
      path: ends in ``.npz``, ``.safetensors`` or ``.pt``.
      weights: leaves ``[*shape]``, or ``[T, *shape]`` for several INRs.
      metadata: what a reader needs to evaluate the weights, JSON-serialisable.

    Raises:
      InputError: an unknown suffix, ``.pt`` without PyTorch, no permission, or another program wrote ``path``.
      RunError: the disk is full.
    """
    path = Path(path)
    check_format(path.suffix)
    try:
        json.dumps(dict(metadata))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the metadata of weights must be of JSON's types ({error}).") from None
    FORMATS[path.suffix.removeprefix('.')](path, weights, {'schema_version': SCHEMA_VERSION, **metadata})


@checked
def read_weights(path: str | os.PathLike) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """Read what `write_weights` wrote as ``.npz`` or ``.safetensors``.

    Returns:
      ``(weights, metadata)``, exactly what was written.

    Raises:
      InputError: the file is missing, of another format, damaged, too large, or holds other tensors.
    """
    path = Path(path)
    format = path.suffix.removeprefix('.')
    if format not in TENSOR_FORMATS:
        raise InputError(f'{path}: cannot read weights from {path.suffix!r}; give a .npz or .safetensors file.')
    tensors, metadata = read_tensors(path, format=format)
    weights: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        layer, dot, name = key.rpartition('.')
        if not (layer and dot and name):
            raise InputError(
                f'{path} holds a tensor {key!r}, and those of an INR are named layer_0.w; give another file.'
            )
        weights.setdefault(layer, {})[name] = tensor
    return weights, metadata


def check_same_inr(found: Mapping[str, Any], inr: Inr, what: str) -> None:
    """Raise `InputError` if weights belong to another INR than the one that is fitted.

    Args:
      found: metadata of the weights; a missing ``input_deviation`` counts as 1.
      inr: the INR that is fitted.
      what: subject of the message, like ``'the run runs/a'``.

    Raises:
      InputError: the metadata differ; the message names the difference.
    """
    theirs, ours = ({'input_deviation': 1.0, **metadata} for metadata in (found, inr.metadata))
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise InputError(
                f'{what} has INRs with {name} = {theirs.get(name)!r}, this fit has {value!r}; make them equal.'
            )
