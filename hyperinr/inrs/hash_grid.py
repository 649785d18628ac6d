"""A multi-resolution hash grid with a small ReLU MLP: the reference that trades structure for memory.

Müller, Evans, Schied and Keller, "Instant neural graphics primitives with a multiresolution hash encoding" (2022),
section 3: eqs. 2 and 3 for the resolutions, eq. 4 for the hash.

Letters: ``F`` features of a level, ``T`` rows of its table.
"""

import jax
import jax.numpy as jnp

from hyperinr.inrs.coordinate_mlp import affine, check_positive
from hyperinr.inrs.initialisation import Layer
from hyperinr.inrs.interpolation import surrounding_vertices
from hyperinr.inrs.relu_mlp import rectifier_scheme
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['hash_grid', 'hash_rows', 'level_resolutions']

PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)
"""One for each axis: the paper's three, and the next of its authors' code."""

SPREAD = 1e-4
"""Bound of fresh features, the paper's."""


def level_resolutions(num_levels: int, coarsest: int, finest: int) -> tuple[int, ...]:
    """Cells along each axis, ``floor(coarsest b^l)`` with ``b`` such that the last level has ``finest``."""
    growth = (finest / coarsest) ** (1 / max(num_levels - 1, 1))
    return tuple(int(coarsest * growth**level + 1e-6) for level in range(num_levels))


def hash_rows(vertices: Array, table_size: int) -> jax.Array:
    """``[..., D]`` vertices -> ``[...]`` rows in [0, table_size), a power of 2: the axes times their primes, XORed."""
    result = jnp.zeros(vertices.shape[:-1], jnp.uint32)
    for axis in range(vertices.shape[-1]):
        result = result ^ (vertices[..., axis].astype(jnp.uint32) * jnp.uint32(PRIMES[axis]))
    return (result & jnp.uint32(table_size - 1)).astype(jnp.int32)


def hash_grid(
    *,
    channels: int,
    width: int = 32,
    depth: int = 1,
    num_levels: int = 8,
    num_features: int = 2,
    log2_table_size: int = 9,
    coarsest: int = 4,
    finest: int = 64,
    output_bias: float = 0.5,
) -> Inr:
    """Features of every level's surrounding vertices, interpolated, then a ReLU MLP.

    A level whose vertices fit its table has a row for each, without hashing. Initialisation: features U(-1e-4, 1e-4) as
    in the paper; the MLP's as in `relu_mlp`, where the paper takes Glorot and Bengio's.

    Args:
      channels: C.
      width: units of each hidden layer of the MLP.
      depth: hidden layers, >= 1.
      num_levels: >= 1.
      num_features: F >= 1.
      log2_table_size: T is 2 to this, in [1, 30].
      coarsest: cells along an axis of the first level, >= 1.
      finest: cells along an axis of the last, >= ``coarsest``.
      output_bias: middle of the data range.

    Returns:
      An `Inr` with weights ``grid_0`` ..., each ``{'table': [T or fewer, F]}``, and ``layer_0`` ... ``layer_{depth}``.
      It takes up to 7 coordinates.

    Raises:
      ValueError: a value outside its range.
    """
    check_positive(
        'a hash_grid',
        channels=channels,
        width=width,
        depth=depth,
        num_levels=num_levels,
        num_features=num_features,
        log2_table_size=log2_table_size,
        coarsest=coarsest,
    )
    if finest < coarsest or log2_table_size > 30:
        raise ValueError(f'a hash_grid needs finest >= coarsest and log2_table_size <= 30, not {finest=}, '
                         f'{coarsest=}, {log2_table_size=}.')  # fmt: skip
    resolutions = level_resolutions(num_levels, coarsest, finest)
    table_size = 2**log2_table_size
    scheme = rectifier_scheme()

    def init(key: Key, coord_dims: int) -> InrWeights:
        if coord_dims > len(PRIMES):
            raise ValueError(f'a hash_grid takes up to {len(PRIMES)} coordinates, not {coord_dims}.')
        weights: dict[str, dict[str, Array]] = {}
        for level, (level_key, cells) in enumerate(
            zip(jax.random.split(jax.random.fold_in(key, 0), num_levels), resolutions, strict=True)
        ):
            shape = (min(table_size, (cells + 1) ** coord_dims), num_features)
            weights[f'grid_{level}'] = {'table': jax.random.uniform(level_key, shape, minval=-SPREAD, maxval=SPREAD)}
        sizes = [num_levels * num_features, *[width] * depth, channels]
        for index in range(depth + 1):
            w_key, b_key = jax.random.split(jax.random.fold_in(key, index + 1))
            layer = Layer(index, depth, sizes[index], sizes[index + 1], 1.0)
            biases = scheme.biases(b_key, layer)
            weights[f'layer_{index}'] = {
                'w': scheme.weights(w_key, layer),
                'b': biases + output_bias if index == depth else biases,
            }
        return weights

    def features(table: Array, coords: Array, cells: int) -> Array:
        vertices, shares = surrounding_vertices(coords, cells)
        if (cells + 1) ** coords.shape[-1] <= table_size:
            strides = jnp.array([(cells + 1) ** axis for axis in reversed(range(coords.shape[-1]))], jnp.int32)
            rows = jnp.sum(vertices * strides[None, None, :], axis=-1)
        else:
            rows = hash_rows(vertices, table_size)
        return jnp.einsum('nv,nvf->fn', shares, jnp.asarray(table)[rows])

    def apply(weights: InrWeights, coords: Array) -> Array:
        levels = [features(weights[f'grid_{level}']['table'], coords, cells) for level, cells in enumerate(resolutions)]
        hidden = jnp.concatenate(levels)
        for index in range(depth):
            hidden = jax.nn.relu(affine(weights[f'layer_{index}'], hidden))
        return affine(weights[f'layer_{depth}'], hidden).T

    metadata = {
        'kind': 'hash_grid',
        'channels': channels,
        'width': width,
        'depth': depth,
        'num_levels': num_levels,
        'num_features': num_features,
        'log2_table_size': log2_table_size,
        'coarsest': coarsest,
        'finest': finest,
    }
    return Inr(init=init, apply=apply, metadata=metadata)
