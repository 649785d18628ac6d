"""Checks of a table that an import read, before anything is written: nothing is cast, cut or renumbered silently."""

import os
from collections.abc import Mapping

import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import START_KINDS, STATUSES, Description
from hyperinr.neural_datasets.shards import COLUMNS

__all__ = ['check_rows', 'checked_columns', 'exact']

REMEDY = 'correct the file or export it again'


def exact(
    name: str, values: np.ndarray, dtype: np.dtype, shape: tuple[int, ...], where: str | os.PathLike
) -> np.ndarray:
    """Return values as ``dtype``, rounded at most.

    Args:
      name: name of the values, for messages.
      values: integers for an integer type, real floating-point numbers for another.
      dtype: type that a store has.
      shape: expected shape.
      where: their file, for messages.

    Raises:
      InputError: another kind of numbers, another shape, or a number that does not fit the type.
    """
    values = np.asarray(values)
    if values.shape != shape:
        raise InputError(f'{where}: {name} has shape {values.shape} instead of {shape}; {REMEDY}.')
    if values.dtype.kind not in ('iu' if dtype.kind in 'iu' else 'f'):
        kind = 'integers' if dtype.kind in 'iu' else 'real floating-point numbers'
        raise InputError(f'{where}: {name} holds {values.dtype} where a store has {kind}; {REMEDY}.')
    with np.errstate(over='ignore'):
        found = values.astype(dtype)
    bad = found != values if dtype.kind in 'iu' else np.isinf(found) & np.isfinite(values)
    if bad.any():
        raise InputError(f'{where}: {name} holds {values[bad][0]}, which does not fit {dtype}; {REMEDY}.')
    return found


def checked_columns(
    columns: Mapping[str, np.ndarray], count: int, description: Description, where: str | os.PathLike
) -> dict[str, np.ndarray]:
    """Return the columns ``[count]`` of a store in their types.

    Args:
      columns: columns as a file has them.
      count: number of INRs.
      description: description of their store, whose index space they lie in.
      where: their file, for messages.

    Raises:
      InputError: a column is missing or unknown, has other numbers than `exact` takes, codes without a meaning, or
        indices that do not ascend or contradict the seeds and signals.
    """
    if set(columns) != set(COLUMNS):
        names = ', '.join(sorted(set(columns) ^ set(COLUMNS)))[:200]
        raise InputError(f'{where}: tensors {names!r} are missing or none of a neural dataset; {REMEDY}.')
    if count < 1:
        raise InputError(f'{where} holds no INRs; {REMEDY}.')
    found = {name: exact(name, columns[name], dtype, (count,), where) for name, dtype in COLUMNS.items()}
    index = found['index']
    if not (index[0] >= 0 and index[-1] < description.size and (np.diff(index) > 0).all()):
        raise InputError(f'{where}: the indices do not ascend within [0, {description.size}); {REMEDY}.')
    seeds, signals = description.seeds_and_signals(index)
    right = {'seed': seeds, 'source_index': signals}
    wrong = [name for name, values in right.items() if not np.array_equal(found[name], values)]
    wrong += [name for name, codes in (('status', STATUSES), ('start', START_KINDS)) if max(found[name]) >= len(codes)]
    if wrong:
        raise InputError(f'{where}: column {wrong[0]} contradicts the description of the neural dataset; {REMEDY}.')
    return found


def check_rows(
    weights: np.ndarray, status: np.ndarray, description: Description, where: str | os.PathLike
) -> np.ndarray:
    """Return the weights ``[R, P]`` in float32.

    Raises:
      InputError: other numbers than `exact` takes, another P than the description's, or NaN in an INR that did not
        diverge.
    """
    count, num_weights = len(status), weights_lib.count(description.weights)
    if weights.ndim == 2 and weights.shape[1] != num_weights:
        raise InputError(
            f'{where}: rows of {weights.shape[1]} weights do not fit a {description.inr["kind"]} of {num_weights}; '
            f'{REMEDY}.'
        )
    found = exact('weights', weights, np.dtype(np.float32), (count, num_weights), where)
    bad = ~np.isfinite(found).all(axis=1) & (status != STATUSES.index('diverged'))
    if bad.any():
        raise InputError(f'{where}: INR {np.argmax(bad)} has weights that are not finite; {REMEDY}.')
    return found
