"""Files of weights back to signals: each INR is evaluated on a grid, and written as a file of its signal's kind."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import coordinates, inrs, kinds
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.files.file_values import check_data_range
from hyperinr.files.weights import read_weights
from hyperinr.kinds import Kind
from hyperinr.model import MOST_GRID_POINTS, on_grid
from hyperinr.own_files import tiling
from hyperinr.runtime.files import check_writable_folder
from hyperinr.runtime.outputs import check_outputs
from hyperinr.types import Inr, InrWeights
from hyperinr.weights import check_evaluable, spec_of

__all__ = ['decode_files']


@checked
def decode_files(
    files: Sequence[str | os.PathLike], *, out: str | os.PathLike, shape: Sequence[int] | None = None
) -> list[Path]:
    """Evaluate the INRs of files of weights and write their signals, as ``out/NAME`` with the suffix of the kind.

    All files are read once before anything is written.

    Args:
      files: ``.npz`` or ``.safetensors`` files of `own_files`.
      out: folder; made if it does not exist.
      shape: samples along each axis; ``None``: those of the signal that the weights came from. Tiles are decoded at
        these alone.

    Returns:
      The written files.

    Raises:
      InputError: a file holds no such weights, another ``shape`` for tiles or of other axes, two files with one output,
        or an output that would replace a file that hyperinr did not write.
      RunError: the disk is full.
    """
    if not files:
        raise InputError('no files given.')
    wanted: dict[Path, Path] = {}
    for path in map(Path, files):
        stored = _read(path, shape)
        output = Path(out) / f'{path.stem}{stored.kind.written}'
        if output in wanted:
            raise InputError(f'{wanted[output]} and {path} would both be written to {output}; give them in two calls.')
        wanted[output] = path
    check_outputs(wanted)
    check_writable_folder(Path(out))
    for output, path in wanted.items():
        stored = _read(path, shape)
        values = _values(stored, path)
        stored.kind.write(output, values, stored.facts)
    return list(wanted)


class _Stored(NamedTuple):
    """A file of weights, and how it is decoded: ``shape`` of the signal, ``tile`` of an INR, ``grid`` of tiles, and
    the ``coords`` of samples that lie elsewhere than on the kind's grid."""

    weights: InrWeights
    inr: Inr
    kind: Kind
    shape: tuple[int, ...]
    tile: tuple[int, ...]
    grid: tuple[int, ...] | None
    overlap: int
    coords: np.ndarray | None
    facts: Mapping[str, Any]


def _read(path: Path, shape: Sequence[int] | None) -> _Stored:
    weights, metadata = read_weights(path)
    try:
        signal = dict(metadata['signal'])
        kind = kinds.kind_of(path, str(signal.pop('kind')))
        own = _sizes(signal.pop('shape')[:-1])
        grid = None if metadata.get('tile_grid') is None else _sizes(metadata['tile_grid'])
        overlap = metadata.get('tile_overlap', 0)
        tile = own if grid is None else _sizes(metadata['grid_shape'])
        ends = metadata['data_range']
        if isinstance(ends, str) or type(overlap) is not int or len({len(own), len(tile), len(grid or own)}) > 1:
            raise ValueError('shapes, range or overlap')
        data_range = check_data_range('its data_range', ends)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f'{path} does not say of which signal its weights are ({error!r}): make it again.') from None
    inr = inrs.from_metadata(metadata)
    if grid is not None and shape is not None and tuple(shape) != own:
        raise InputError(f'{path} holds tiles, which are decoded at their own samples, {own}: leave the shape out.')
    wanted = own if shape is None else tuple(shape)
    if len(wanted) != len(own) or min(wanted) < 1:
        raise InputError(f'{path} holds a signal of {len(own)} axes: the shape needs {len(own)} numbers, like {own}.')
    if max(math.prod(wanted), math.prod(tile)) > MOST_GRID_POINTS:
        raise InputError(f'{path}: a signal of {wanted} samples in parts of {tile} is too large; give a smaller shape.')
    leaves = jax.tree.leaves(weights)
    if not all(leaf.dtype.kind == 'f' and np.isfinite(leaf).all() for leaf in leaves):
        raise InputError(f'{path} holds weights that are no finite floats: make it again.')
    if grid is not None and any(len(leaf) != math.prod(grid) for leaf in leaves):
        raise InputError(f'{path} does not hold the {math.prod(grid)} INRs of its tiles: make it again.')
    if grid is not None:
        tiling.check_grid(grid, own, tile, overlap)
    first = weights if grid is None else jax.tree.map(lambda leaf: leaf[0], weights)
    check_evaluable(inr, spec_of(first), coordinates.dims(wanted, kind.layout))
    facts = {**signal, 'data_range': data_range}
    coords = None
    if kind.places is not None:
        try:
            coords = kind.places(wanted, facts)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f'{path} does not say where its samples lie ({error!r}): make it again.') from None
    return _Stored(weights, inr, kind, wanted, tile if grid else wanted, grid, overlap, coords, facts)


def _sizes(sizes: Sequence[Any]) -> tuple[int, ...]:
    if isinstance(sizes, str) or not sizes or not all(type(size) is int and size >= 1 for size in sizes):
        raise ValueError(f'sizes {sizes!r}')
    return tuple(sizes)


def _values(stored: _Stored, path: Path) -> np.ndarray:
    """Return the values of the signal, ``[*shape, C]``."""
    apply, layout = jax.jit(stored.inr.apply), stored.kind.layout

    def values_of(tree: InrWeights) -> np.ndarray:
        pieces = on_grid(lambda coords: apply(tree, coords), stored.tile, layout, stored.coords)
        return np.concatenate([np.asarray(each) for each in pieces]).reshape(*stored.tile, -1)

    if stored.grid is None:
        values = values_of(stored.weights)
    else:
        rows = range(math.prod(stored.grid))
        tiles = np.stack([values_of(jax.tree.map(lambda leaf, row=row: leaf[row], stored.weights)) for row in rows])
        values = tiling.stitch(tiles, stored.grid, stored.shape, stored.overlap)
    if not np.isfinite(values).all():
        raise InputError(f'the INR in {path} gives values that are not finite: make it again.')
    return values
