"""The file of a fit that was stopped: written now and then, read by the same call, refused by any other."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files.tensors import read_tensors, write_tensors
from hyperinr.fitting import LargeState
from hyperinr.kinds import Signal
from hyperinr.types import InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['PARTIAL', 'identity_of', 'read_state', 'state_like', 'write_state']

PARTIAL = '.partial.npz'
"""End of the name of the file."""


def identity_of(signal: Signal, weights: InrWeights, settings: Any) -> str:
    """Return a SHA-256, hexadecimal, of everything that the steps of a fit depend on.

    Args:
      signal: the signal.
      weights: the start.
      settings: the rest, JSON-serialisable, or with a ``str`` that tells it apart.
    """
    digest = hashlib.sha256(json.dumps([settings, signal.data_range, signal.layout], default=str).encode())
    for array in (signal.values, signal.weight, signal.coords, *jax.tree.leaves(weights)):
        digest.update(b'none' if array is None else f'{array.dtype}{array.shape}'.encode())
        digest.update(b'' if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def state_like(optimizer: optax.GradientTransformation, num_steps: int, spec: WeightSpec) -> LargeState:
    """Return a state with shapes and types in place of arrays."""
    flat = jax.ShapeDtypeStruct((weights_lib.count(spec),), np.float32)
    errors = jax.ShapeDtypeStruct((num_steps + 1,), np.float64)
    optimizer_state = jax.eval_shape(optimizer.init, flat)
    return LargeState(0, flat, optimizer_state, errors, 0, flat)  # type: ignore[arg-type]


def write_state(path: Path, identity: str, state: LargeState, rate: float) -> None:
    """Write a state and the learning rate of its fit."""
    leaves = enumerate(jax.tree.leaves(state.optimizer_state))
    tensors = {f'optimizer_{number}': np.asarray(leaf) for number, leaf in leaves}
    tensors |= {'flat': state.flat, 'best': state.best, 'mse': state.mse}
    about = {'identity': identity, 'step': state.step, 'best_step': state.best_step, 'rate': rate}
    write_tensors(path, tensors, about, format='npz')


def read_state(path: Path, identity: str, like: LargeState) -> tuple[LargeState | None, float]:
    """Return the saved state and rate of this fit; ``None`` if there is none.

    Args:
      path: its file.
      identity: of this fit.
      like: shapes and types of a state.

    Raises:
      InputError: the file holds the state of another fit, which would be lost, or is damaged.
    """
    if not path.exists():
        return None, 0.0
    go_on = 'delete it to begin anew, or give another --out'
    try:
        tensors, about = read_tensors(path, format='npz')
        other = about['identity'] != identity
        leaves, structure = jax.tree.flatten(like.optimizer_state)
        found = [tensors[f'optimizer_{number}'] for number in range(len(leaves))]
        step, best_step, rate = int(about['step']), int(about['best_step']), float(about['rate'])
        arrays = {name: tensors[name] for name in ('flat', 'mse', 'best')}
    except (InputError, KeyError, TypeError, ValueError, OverflowError):
        raise InputError(f'{path} is no state of a fit that was stopped, or is damaged: {go_on}.') from None
    if other:
        raise InputError(f'{path} is the state of a fit of another signal or with other settings: {go_on}.')
    expected = [*leaves, like.flat, like.mse, like.best]
    right = [(leaf.shape, leaf.dtype) for leaf in expected] == [
        (leaf.shape, leaf.dtype) for leaf in [*found, *arrays.values()]
    ]
    if not (right and 0 <= best_step <= step < len(like.mse) and rate > 0 and np.isfinite(arrays['flat']).all()):
        raise InputError(f'{path} is damaged: {go_on}.')
    state = LargeState(step=step, best_step=best_step, optimizer_state=jax.tree.unflatten(structure, found), **arrays)
    return state, rate
