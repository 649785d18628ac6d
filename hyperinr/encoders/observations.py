"""Scaling and masking of a datapoint's values, for all encoders that read them."""

import jax.numpy as jnp

from hyperinr.types import Array, Datapoint, DatasetSpec

__all__ = ['marked_values', 'observations', 'point_features']


def observations(datapoint: Datapoint, spec: DatasetSpec) -> tuple[Array, Array]:
    """Return the values ``[N, C]`` scaled to [-1, 1], and whether each point is observed ``[N, 1]``.

    Points of weight 0 are not observed: the returned values are zero there. The datapoint may hold any values there,
    NaN included.
    """
    low, high = spec.data_range
    observed = jnp.asarray(datapoint.weight)[:, None] > 0
    return jnp.where(observed, 2 * (jnp.asarray(datapoint.values) - low) / (high - low) - 1, 0), observed


def marked_values(datapoint: Datapoint, spec: DatasetSpec) -> Array:
    """Return ``[N, C + 1]``: `observations`, and 1 where a point is observed."""
    values, observed = observations(datapoint, spec)
    return jnp.concatenate([values, observed.astype(values.dtype)], axis=-1)


def point_features(datapoint: Datapoint, spec: DatasetSpec, num_frequencies: int) -> Array:
    """Return coordinates, their sines and cosines in F octaves, and values, ``[N, D (1 + 2 F) + C]``.

    Coordinates and values are zero where a point is not observed.
    """
    values, observed = observations(datapoint, spec)
    coords = jnp.where(observed, jnp.asarray(datapoint.coords), 0)
    angles = jnp.pi * coords[:, None, :] * 2.0 ** jnp.arange(num_frequencies)[None, :, None]
    angles = angles.reshape(coords.shape[0], -1)
    return jnp.concatenate([coords, jnp.sin(angles), jnp.cos(angles), values], axis=-1)
