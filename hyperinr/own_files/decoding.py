"""Files of weights back to signals: each INR is evaluated on a grid, and written as a file of its signal's kind."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from hyperinr import coordinates, inrs, kinds
from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.errors import InputError
from hyperinr.files.weights import read_weights
from hyperinr.model import MOST_GRID_POINTS, on_grid
from hyperinr.own_files import tiling
from hyperinr.runtime.files import check_writable_folder
from hyperinr.runtime.outputs import check_outputs
from hyperinr.types import InrWeights
from hyperinr.weights import check_evaluable, spec_of

__all__ = ['decode_file']


@checked
def decode_file(path: str | os.PathLike, *, out: str | os.PathLike, shape: Sequence[int] | None = None) -> Path:
    """Evaluate the INRs of a file of weights and write the signal, as ``out/NAME`` with the suffix of its kind.

    Args:
      path: a ``.npz`` or ``.safetensors`` file of `own_files`.
      out: folder; made if it does not exist.
      shape: samples along each axis; ``None``: those of the signal that the weights came from. Tiles are decoded at
        these alone.

    Returns:
      The file.

    Raises:
      InputError: the file holds no such weights, another ``shape`` for tiles or of other axes, or an output that would
        replace a file that hyperinr did not write.
      RunError: the disk is full.
    """
    path = Path(path)
    weights, metadata = read_weights(path)
    try:
        signal = metadata['signal']
        own_shape, tile = (tuple(int(size) for size in each) for each in (signal['shape'][:-1], metadata['grid_shape']))
        kind = kinds.kind_of(path, signal['kind'])
        low, high = metadata['data_range']
        grid, overlap = metadata.get('tile_grid'), int(metadata.get('tile_overlap', 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f'{path} does not say of which signal its weights are ({error!r}): make it again.') from None
    inr = inrs.from_metadata(metadata)
    if grid is not None and shape not in (None, own_shape):
        raise InputError(
            f'{path} holds tiles, which are decoded at their own {own_shape} samples: leave the shape out.'
        )
    wanted = own_shape if shape is None else tuple(shape)
    if len(wanted) != len(own_shape) or np.prod(wanted, dtype=float) > MOST_GRID_POINTS:
        raise InputError(f'{path} holds a signal of {own_shape} samples; {wanted} has other axes, or is too large.')
    check_positive('a decoded signal', shape=wanted)
    file = Path(out) / f'{path.stem}{kind.written}'
    check_outputs([file])
    if grid is not None and any(len(leaf) != math.prod(grid) for leaf in jax.tree.leaves(weights)):
        raise InputError(f'{path} does not hold the {math.prod(grid)} INRs of its tiles: make it again.')
    first = weights if grid is None else jax.tree.map(lambda leaf: leaf[0], weights)
    check_evaluable(inr, spec_of(first), coordinates.dims(wanted, kind.layout))
    check_writable_folder(Path(out))
    apply = jax.jit(inr.apply)

    def values_of(tree: InrWeights, shape: tuple[int, ...]) -> np.ndarray:
        pieces = [np.asarray(each) for each in on_grid(lambda coords: apply(tree, coords), shape, kind.layout)]
        return np.concatenate(pieces).reshape(*shape, -1)

    if grid is None:
        values = values_of(weights, wanted)
    else:
        trees = (jax.tree.map(lambda leaf, row=row: leaf[row], weights) for row in range(math.prod(grid)))
        tiles = np.stack([values_of(tree, tile) for tree in trees])
        values = tiling.stitch(tiles, grid, wanted, overlap)
    facts = {name: fact for name, fact in signal.items() if name not in ('kind', 'shape')}
    kind.write(file, values, {**facts, 'data_range': (low, high)})
    return file
