"""A trained model as a folder: ``config.gin`` and ``spec.json`` as in a run, and ``model.safetensors``.

The metadata of ``model.safetensors`` hold a digest of all three, so that nothing that was changed, cut or put together
from several models is taken for one.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.tensors import read_tensors, safetensors_bytes, write_tensors
from hyperinr.runtime.files import disk_errors, plain, replacing
from hyperinr.runtime.outputs import check_outputs
from hyperinr.types import DatasetSpec, Params

__all__ = ['FILE', 'in_structure', 'is_saved_model', 'read_model', 'write_model']

FILE, CONFIG, SPEC = 'model.safetensors', 'config.gin', 'spec.json'
SCHEMA = 1
"""Version of the layout described above; a reader refuses any other."""
DIGEST = 'content_sha256'


def is_saved_model(folder: Path) -> bool:
    """Tell whether a folder holds what `write_model` wrote."""
    return (folder / FILE).is_file()


def write_model(
    folder: Path, params: Params, metadata: Mapping[str, Any], *, config: str, spec: DatasetSpec, dtype: str
) -> None:
    """Write a model into a new or empty folder, or over an earlier one.

    Args:
      folder: the folder.
      params: nested mappings of arrays.
      metadata: JSON-serialisable.
      config: gin text of the model's parts.
      spec: specification of the training data.
      dtype: ``'float32'`` or ``'float16'``.

    Raises:
      InputError, RunError: the folder holds something else or cannot be written, or a parameter is beyond ``dtype``.
    """
    with np.errstate(over='ignore'):
        tensors = {name: np.asarray(leaf).astype(dtype) for name, leaf in _named(params).items()}
    too_large = [name for name, each in tensors.items() if not np.isfinite(each).all()]
    if too_large:
        raise InputError(f"the parameter {too_large[0]} is not finite in {dtype}: save the model with dtype='float32'.")
    files = {CONFIG: config, SPEC: json.dumps(spec._asdict(), indent=2, allow_nan=False) + '\n'}
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(f'{folder} is a file; give a folder.')
        if not is_saved_model(folder) and folder.exists() and any(folder.iterdir()):
            raise InputError(f'{folder} is not empty and holds no saved model; give a new or empty folder.')
    check_outputs([folder / FILE])
    content = {**plain(metadata), 'schema': SCHEMA, DIGEST: _digest(files, tensors)}
    with contextlib.ExitStack() as stack:
        # The old files go when all new ones are complete: a full disk leaves the old model.
        for name, text in files.items():
            stack.enter_context(replacing(folder / name)).write_text(text, encoding='utf-8')
        write_tensors(folder / FILE, tensors, content, format='safetensors')


def read_model(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the parameters by name, and the metadata.

    Raises:
      InputError: the folder holds no saved model, one of another version, or one whose files were changed.
    """
    tensors, metadata = read_tensors(folder / FILE, format='safetensors')
    if metadata.pop('schema', None) != SCHEMA:
        raise InputError(f'{folder / FILE} was saved by another version of hyperinr, or is no saved model.')
    try:
        files = {name: (folder / name).read_text(encoding='utf-8') for name in (CONFIG, SPEC)}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{folder} holds a saved model that is not complete ({error}); save it again.') from error
    if metadata.pop(DIGEST, None) != _digest(files, tensors):
        raise InputError(f'{folder} holds a saved model whose files were changed or are of several models: restore it.')
    return tensors, metadata


def in_structure(tensors: Mapping[str, np.ndarray], like: Params) -> Params | None:
    """Return the parameters that `read_model` read in the structure ``like``, in float32; ``None`` if they differ."""
    wanted = {name: leaf.shape for name, leaf in _named(like).items()}
    if {name: each.shape for name, each in tensors.items()} != wanted:
        return None
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(tensors[name], jnp.float32) for name in wanted])


def _named(params: Params) -> dict[str, Any]:
    """Return the leaves of nested mappings by their paths, ``'base/layer_0/w'``."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf for path, leaf in leaves}


def _digest(files: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode())
    digest.update(safetensors_bytes(tensors))
    return digest.hexdigest()
