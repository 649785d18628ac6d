"""Multilinear interpolation on a grid of any dimension: which vertices surround a point, and how much each counts."""

import itertools

import jax.numpy as jnp
import numpy as np

from hyperinr.types import Array

__all__ = ['surrounding_vertices']


def surrounding_vertices(coords: Array, cells: int) -> tuple[Array, Array]:
    """Of ``[-1, 1]^D`` cut into ``cells`` along each axis; points outside belong to the nearest cell.

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
