"""A plain grid of values, multilinearly interpolated: the reference that needs no network.

A linear layer in the basis of hat functions. Its nearest published relative: Fridovich-Keil, Yu, Tancik et al.,
"Plenoxels: radiance fields without neural networks" (2022), which interpolate a sparse voxel grid.
"""

import jax
import jax.numpy as jnp

from hyperinr.inrs.coordinate_mlp import check_positive
from hyperinr.inrs.interpolation import surrounding_vertices
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['feature_grid']

SPREAD = 1e-4
"""Bound of fresh values, as in a hash grid: small, and not all the same."""


def feature_grid(*, channels: int, resolution: int = 32, output_bias: float = 0.5) -> Inr:
    """Values at ``resolution^D`` vertices that span [-1, 1]^D, the outer ones on its border.

    Initialisation: values U(-1e-4, 1e-4), the bias ``output_bias``.

    Args:
      channels: C.
      resolution: vertices along each axis, >= 2.
      output_bias: middle of the data range.

    Returns:
      An `Inr` with weights ``{'layer_0': {'w': [resolution^D, C], 'b': [C]}}``, vertices in row-major order.

    Raises:
      ValueError: a size that is too small.
    """
    check_positive('a feature_grid', channels=channels, resolution=resolution)
    if resolution < 2:
        raise ValueError(f'a feature_grid needs a resolution of at least 2 vertices, not {resolution=}.')

    def init(key: Key, coord_dims: int) -> InrWeights:
        shape = (resolution**coord_dims, channels)
        values = jax.random.uniform(key, shape, minval=-SPREAD, maxval=SPREAD)
        return {'layer_0': {'w': values, 'b': jnp.full(channels, output_bias, jnp.float32)}}

    def apply(weights: InrWeights, coords: Array) -> Array:
        layer = weights['layer_0']
        vertices, shares = surrounding_vertices(coords, resolution - 1)
        strides = jnp.array([resolution**axis for axis in reversed(range(coords.shape[-1]))], jnp.int32)
        rows = jnp.sum(vertices * strides[None, None, :], axis=-1)
        return jnp.einsum('nv,nvc->nc', shares, jnp.asarray(layer['w'])[rows]) + jnp.asarray(layer['b'])[None, :]

    metadata = {'kind': 'feature_grid', 'channels': channels, 'resolution': resolution}
    return Inr(init=init, apply=apply, metadata=metadata)
