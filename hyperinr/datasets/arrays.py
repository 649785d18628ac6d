"""Signals in arrays: what may be given as a split, its checks, and one pass over its values.

Letters as in `hyperinr.types`; ``*grid`` are the sizes of the 1 to 4 axes of a signal, ``n`` the number of signals.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.limits import check_array
from hyperinr.runtime.files import check_regular

__all__ = ['Arrays', 'Scan', 'opened', 'scan', 'shapes_of']

MOST_AXES = 4
BLOCK_BYTES = 2**26
"""Bytes of values that are read together, unless one signal has more."""
MOST_COORDINATE = 1 + 1e-5
MOST_LABELS = 2**16
LEAST_WEIGHT, MOST_WEIGHT = 1e-37, 1e37
"""Beyond them float32 has 0 or infinity."""
MOST_VALUE = 1e37
Each = np.ndarray | Sequence[np.ndarray]
"""One array with a leading axis of n signals, or n arrays."""


class Arrays(NamedTuple):
    """The signals of one split.

    Wherever an array is asked for, the path of a ``.npy`` file may be given. It is mapped into memory and read where it
    is needed.

    Attributes:
      values: ``[n, *grid, C]``, or a list of n arrays ``[*grid, C]`` of any shapes. Real numbers, or booleans.
      coords: ``[n, *grid, D]`` in [-1, 1], or ``[*grid, D]`` for all signals, or a list of n arrays; ``None``: the
        samples of a grid. For scattered points ``*grid`` is one number.
      weights: ``[n, *grid]`` >= 0, or a list of n arrays; ``None``: 1. A point of weight 0 is as if it were not there,
        and its value may be NaN.
      labels: ``[n]`` whole numbers >= 0, the classes; ``None`` without classes.
    """

    values: Any
    coords: Any = None
    weights: Any = None
    labels: Any = None


class Scan(NamedTuple):
    """What one pass over the signals of a split found.

    Attributes:
      least, greatest: ``[n]``, the least and greatest value at points of positive weight.
      sha256: hexadecimal digest of all arrays.
    """

    least: np.ndarray
    greatest: np.ndarray
    sha256: str


def opened(what: str, given: Any) -> Arrays:
    """Return a split as `Arrays` whose members are NumPy arrays, one for all signals or one for each.

    Args:
      what: name of the split, for messages.
      given: `Arrays`; or its ``values`` alone; or the pair ``(coords, values)``.

    Raises:
      InputError: the members are no arrays of real numbers, or their shapes do not fit together.
    """
    if not isinstance(given, Arrays):
        given = Arrays(given[1], given[0]) if _is_pair(what, given) else Arrays(given)
    values = _each(f'{what} values', given.values)
    shapes = shapes_of(values)
    axes = len(shapes[0]) - 1
    if {len(shape) for shape in shapes} != {axes + 1} or not 1 <= axes <= MOST_AXES:
        form, found = ('[n, *grid, C]', [values.shape]) if isinstance(values, np.ndarray) else ('[*grid, C]', shapes)
        raise InputError(
            f'{what} must be values {form} with 1 to {MOST_AXES} axes of the grid, and the channels last, not of shape '
            f'{", ".join(map(str, sorted(set(found))))}: reshape them (values[..., None] adds a channel axis).'
        )
    if len({shape[-1] for shape in shapes}) > 1:
        raise InputError(f'{what} has signals of {sorted({shape[-1] for shape in shapes})} channels; use one number.')
    grids = [shape[:-1] for shape in shapes]
    coords = weights = labels = None
    if given.coords is not None:
        coords = _each(f'{what} coords', given.coords)
        if isinstance(coords, np.ndarray) and coords.ndim == axes + 1:
            coords = np.broadcast_to(coords, (len(values), *coords.shape))
        found = shapes_of(coords)
        if [shape[:-1] for shape in found] != grids or len({shape[-1] for shape in found}) > 1:
            raise InputError(
                f'{what} has coords of shape {found[0]} with values of shape {shapes[0]}: give each value its D '
                'coordinates, [*grid, D] for all signals or [n, *grid, D].'
            )
    if given.weights is not None:
        weights = _each(f'{what} weights', given.weights)
        if shapes_of(weights) != grids:
            raise InputError(f'{what} has weights of shape {shapes_of(weights)[0]} on a grid of {grids[0]}: use that.')
    if given.labels is not None:
        labels = _array(f'{what} labels', given.labels)
        if (
            labels.shape != (len(values),)
            or labels.dtype.kind not in 'iu'
            or not 0 <= labels.min() <= labels.max() < MOST_LABELS
        ):
            raise InputError(
                f'{what} must have {len(values)} labels, a whole number in [0, {MOST_LABELS}) for each signal: number '
                'the classes from 0.'
            )
    return Arrays(values, coords, weights, labels)


def _is_pair(what: str, given: Any) -> bool:
    if isinstance(given, tuple) and len(given) != 2:
        raise InputError(f'{what} is a tuple of {len(given)}; give (coords, values), or a list of arrays.')
    return isinstance(given, tuple)


def _each(what: str, given: Any) -> Each:
    if isinstance(given, list | tuple):
        if not given:
            raise InputError(f'{what} is empty; give at least one signal.')
        return [_array(what, one) for one in given]
    return _array(what, given)


def shapes_of(arrays: Each) -> list[tuple[int, ...]]:
    """Return the shape of each signal."""
    return [arrays.shape[1:]] * len(arrays) if isinstance(arrays, np.ndarray) else [each.shape for each in arrays]


def _array(what: str, given: Any) -> np.ndarray:
    if isinstance(given, str | os.PathLike):
        found = _mapped(what, Path(given).expanduser())
    elif isinstance(given, np.ndarray | jax.Array):
        found = np.asarray(given)
    else:
        raise InputError(f'{what} must be arrays or paths of .npy files, not {type(given).__name__}: use np.asarray.')
    if isinstance(found, np.ma.MaskedArray) or isinstance(given, np.ma.MaskedArray):
        raise InputError(f'{what} are masked: give the data, and weights that are 0 where they are masked.')
    if found.dtype.kind == 'c':
        raise InputError(f'{what} are complex: give real and imaginary part as two channels.')
    if found.dtype.kind not in 'biuf':
        raise InputError(f'{what} are of type {found.dtype}, no real numbers: convert them, e.g. to float32.')
    if found.ndim == 0 or found.size == 0:
        raise InputError(f'{what} are empty, of shape {found.shape}; give at least one signal of at least one point.')
    return found


def _mapped(what: str, path: Path) -> np.ndarray:
    check_regular(path, '.npy file')
    try:
        with path.open('rb') as file:
            if check_array(path, file, path.stat().st_size) is None:
                raise InputError(f'{what}: {str(path)!r} is no .npy file: write it with np.save.')
        return np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{what}: {str(path)!r} cannot be read ({error}); write it with np.save.') from error


def scan(what: str, arrays: Arrays) -> Scan:
    """Read all signals of a split once, in blocks, and check their numbers.

    Raises:
      InputError: a value of positive weight that is not finite, a wrong weight or coordinate, or a signal without a
        point of positive weight.
    """
    digest = hashlib.sha256()
    least, greatest = [], []
    for first, block in _blocks(arrays.values):
        last = first + len(block)
        if arrays.weights is None:
            counts = np.ones(block.shape[:-1], bool)
        else:
            weights = np.asarray(arrays.weights[first:last])
            counts = weights > 0
            valid = (weights >= 0) & (weights < MOST_WEIGHT) & ((weights == 0) | (weights > LEAST_WEIGHT))
            if not valid.all() or not counts.reshape(len(block), -1).any(axis=1).all():
                raise InputError(
                    f'{what} has weights that are negative, not finite in float32, or all zero in one of the '
                    f'signals {first} to {last - 1}: use weights >= 0, and leave out signals without any point.'
                )
        seen = block if counts.all() else np.where(counts[..., None], block, block.dtype.type(0))
        finite = np.abs(seen) < MOST_VALUE if block.dtype.kind == 'f' else np.ones(1, bool)
        if not finite.all():
            row = first + int(np.argmin(finite.reshape(len(block), -1).all(axis=1)))
            raise InputError(f'{what} has values that are not finite in signal {row}: give these points weight 0.')
        flat, counted = block.reshape(len(block), -1, block.shape[-1]), counts.reshape(len(block), -1)
        for values, points in zip(flat, counted, strict=True):
            kept = values if points.all() else values[points]
            least.append(kept.min())
            greatest.append(kept.max())
        if arrays.coords is not None:
            _check_coords(what, arrays.coords[first:last], counts)
    for member in arrays:
        digest.update(b'|' if member is None else f'|{len(member)}'.encode())
        if member is not None:
            is_shared = isinstance(member, np.ndarray) and member.strides[0] == 0  # coordinates of all signals
            for _, block in _blocks(member[:1] if is_shared else member):
                digest.update(f'{block.dtype.str}{block.shape}'.encode())
                digest.update(np.ascontiguousarray(block).data)
    return Scan(np.asarray(least, np.float64), np.asarray(greatest, np.float64), digest.hexdigest())


def _check_coords(what: str, coords: Each, counts: np.ndarray) -> None:
    for at, counted in zip(coords, counts, strict=True):
        seen = np.asarray(at)[counted]
        if not np.isfinite(seen).all() or np.abs(seen).max() > MOST_COORDINATE:
            low, high = seen.min(), seen.max()
            raise InputError(
                f'{what} has coordinates from {low:g} to {high:g}; they must lie in [-1, 1]: rescale each axis, '
                '2 * (x - low) / (high - low) - 1, with one low and high for all signals.'
            )


def _blocks(arrays: Each) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first signal and the signals ``[b, ...]`` of each block of one array, or each array."""
    if isinstance(arrays, np.ndarray):
        size = max(1, BLOCK_BYTES // (math.prod(arrays.shape[1:]) * arrays.itemsize))
        for first in range(0, len(arrays), size):
            yield first, np.asarray(arrays[first : first + size])
    else:
        for first, each in enumerate(arrays):
            yield first, np.asarray(each)[None]
