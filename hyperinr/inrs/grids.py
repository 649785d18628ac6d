"""Families that interpolate values on grids: a plain grid, and a multi-resolution hash grid with a small MLP.

Letters: ``F`` features of a level of the hash grid, ``T`` rows of its table.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.inrs.coordinate_mlp import affine
from hyperinr.inrs.feature_mlps import rectifier_scheme
from hyperinr.inrs.initialisation import OUTPUT_BIAS, Layer, draw_layer
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['FAMILIES', 'feature_grid', 'hash_grid', 'hash_rows', 'level_resolutions', 'surrounding_vertices']

PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)
"""One prime for each axis: the three of the paper, then those of its authors' code."""

SPREAD = 1e-4
"""Bound of fresh values and features, from the paper on hash grids: small, but not all equal."""


@checked
def feature_grid(*, channels: int, resolution: int = 32, output_bias: float = OUTPUT_BIAS) -> Inr:
    """Make a grid of values with multilinear interpolation: a reference without a network.

    The values belong to ``resolution^D`` vertices that span [-1, 1]^D, the outer ones on its border. The INR is a
    linear layer in the basis of hat functions. The most similar published method is Fridovich-Keil, Yu, Tancik et al.,
    "Plenoxels: radiance fields without neural networks" (2022), which interpolates a sparse voxel grid.

    Initialisation: values U(-1e-4, 1e-4), the bias ``output_bias``.

    Args:
      channels: C.
      resolution: vertices along each axis, >= 2.
      output_bias: middle of the data range.

    Returns:
      An `Inr` with weights ``{'layer_0': {'w': [resolution^D, C], 'b': [C]}}``. Vertices are in row-major order.

    Raises:
      ValueError: a size that is too small.
    """
    check_positive('a feature_grid', channels=channels, resolution=resolution)
    if resolution < 2:
        raise ValueError(f'a feature_grid needs a resolution of at least 2 vertices, not {resolution=}.')

    def init(key: Key, coord_dims: int) -> InrWeights:
        shape = (resolution**coord_dims, channels)
        return {'layer_0': {'w': _small_values(key, shape), 'b': jnp.full(channels, output_bias, jnp.float32)}}

    def apply(weights: InrWeights, coords: Array) -> Array:
        layer = weights['layer_0']
        vertices, shares = surrounding_vertices(coords, resolution - 1)
        values = jnp.asarray(layer['w'])[_row_major(vertices, resolution)]
        return jnp.einsum('nv,nvc->nc', shares, values) + jnp.asarray(layer['b'])[None, :]

    metadata = {'kind': 'feature_grid', 'channels': channels, 'resolution': resolution}
    return Inr(init=init, apply=apply, metadata=metadata)


@checked
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
    output_bias: float = OUTPUT_BIAS,
) -> Inr:
    """Make a hash grid: features interpolated between the vertices of every level, then a ReLU MLP.

    Müller, Evans, Schied and Keller, "Instant neural graphics primitives with a multiresolution hash encoding" (2022),
    section 3: eqs. 2 and 3 for the resolutions, eq. 4 for the hash. A reference that trades structure for memory. If
    all vertices of a level fit into its table, each has its own row and nothing is hashed.

    Initialisation: features U(-1e-4, 1e-4) as in the paper. The MLP is initialised as in `relu_mlp`; the paper uses
    the scheme of Glorot and Bengio.

    Args:
      channels: C.
      width: units of each hidden layer of the MLP.
      depth: hidden layers, >= 1.
      num_levels: >= 1.
      num_features: F >= 1.
      log2_table_size: logarithm of T to base 2, in [1, 30].
      coarsest: cells along an axis of the first level, >= 1.
      finest: cells along an axis of the last level, >= ``coarsest``.
      output_bias: middle of the data range.

    Returns:
      An `Inr` with weights ``grid_0`` ..., each ``{'table': [T or fewer, F]}``, and ``layer_0`` ... ``layer_{depth}``.
      It takes up to 7 coordinates.

    Raises:
      ValueError: a value outside its range.
    """
    hyperparameters = {name: value for name, value in locals().items() if name != 'output_bias'}
    check_positive('a hash_grid', **hyperparameters)
    if finest < coarsest or log2_table_size > 30:
        raise ValueError(
            f'a hash_grid needs finest >= coarsest and log2_table_size <= 30, not {finest=}, {coarsest=}, '
            f'{log2_table_size=}.'
        )
    resolutions = level_resolutions(num_levels, coarsest, finest)
    table_size = 2**log2_table_size

    def init(key: Key, coord_dims: int) -> InrWeights:
        if coord_dims > len(PRIMES):
            raise ValueError(f'a hash_grid takes up to {len(PRIMES)} coordinates, not {coord_dims}.')
        weights: dict[str, dict[str, Array]] = {}
        level_keys = jax.random.split(jax.random.fold_in(key, 0), num_levels)
        for level, (level_key, cells) in enumerate(zip(level_keys, resolutions, strict=True)):
            shape = (min(table_size, (cells + 1) ** coord_dims), num_features)
            weights[f'grid_{level}'] = {'table': _small_values(level_key, shape)}
        sizes = [num_levels * num_features, *[width] * depth, channels]
        for index in range(depth + 1):
            w_key, b_key = jax.random.split(jax.random.fold_in(key, index + 1))
            layer = Layer(index, depth, sizes[index], sizes[index + 1], 1.0)
            weights[f'layer_{index}'] = draw_layer(rectifier_scheme(), w_key, b_key, layer, output_bias=output_bias)
        return weights

    def features(table: Array, coords: Array, cells: int) -> Array:
        vertices, shares = surrounding_vertices(coords, cells)
        fits = (cells + 1) ** coords.shape[-1] <= table_size
        rows = _row_major(vertices, cells + 1) if fits else hash_rows(vertices, table_size)
        return jnp.einsum('nv,nvf->fn', shares, jnp.asarray(table)[rows])

    def apply(weights: InrWeights, coords: Array) -> Array:
        levels = [features(weights[f'grid_{level}']['table'], coords, cells) for level, cells in enumerate(resolutions)]
        hidden = jnp.concatenate(levels)
        for index in range(depth):
            hidden = jax.nn.relu(affine(weights[f'layer_{index}'], hidden))
        return affine(weights[f'layer_{depth}'], hidden).T

    return Inr(init=init, apply=apply, metadata={'kind': 'hash_grid', **hyperparameters})


def level_resolutions(num_levels: int, coarsest: int, finest: int) -> tuple[int, ...]:
    """Return the cells along an axis of each level, ``floor(coarsest b^l)``; ``b`` gives the last level ``finest``."""
    growth = (finest / coarsest) ** (1 / max(num_levels - 1, 1))
    return tuple(int(coarsest * growth**level + 1e-6) for level in range(num_levels))


def hash_rows(vertices: Array, table_size: int) -> jax.Array:
    """Hash vertices ``[..., D]`` to rows ``[...]`` in [0, table_size), a power of 2: the XOR of axes times primes."""
    result = jnp.zeros(vertices.shape[:-1], jnp.uint32)
    for axis in range(vertices.shape[-1]):
        result = result ^ (vertices[..., axis].astype(jnp.uint32) * jnp.uint32(PRIMES[axis]))
    return (result & jnp.uint32(table_size - 1)).astype(jnp.int32)


def surrounding_vertices(coords: Array, cells: int) -> tuple[Array, Array]:
    """Find the vertices of a grid around each point, and their weights in a multilinear interpolation.

    The grid cuts ``[-1, 1]^D`` into ``cells`` along each axis; points outside belong to the nearest cell.

    Args:
      coords: ``[N, D]``.
      cells: >= 1; vertices are numbered 0 ... cells along each axis.

    Returns:
      Vertices ``[N, 2^D, D]`` int32, and their weights ``[N, 2^D]``, which sum to 1 for each point.
    """
    position = (jnp.clip(coords, -1, 1) + 1) * (cells / 2)
    cell = jnp.clip(jnp.floor(position), 0, cells - 1)
    fraction = (position - cell)[:, None, :]
    corners = np.array(list(itertools.product((0, 1), repeat=coords.shape[-1])), np.int32)[None]
    vertices = cell.astype(jnp.int32)[:, None, :] + corners
    return vertices, jnp.prod(jnp.where(corners == 1, fraction, 1 - fraction), axis=-1)


def _row_major(vertices: Array, size: int) -> Array:
    """Number vertices ``[N, 2^D, D]`` of a grid of ``size`` along each axis, row by row."""
    strides = jnp.array([size**axis for axis in reversed(range(vertices.shape[-1]))], jnp.int32)
    return jnp.sum(vertices * strides[None, None, :], axis=-1)


def _small_values(key: Key, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-SPREAD, maxval=SPREAD)


FAMILIES = (feature_grid, hash_grid)
