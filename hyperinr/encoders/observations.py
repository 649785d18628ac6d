"""What every encoder does with values before it looks at them."""

import jax.numpy as jnp

from hyperinr.types import Array, Datapoint, DatasetSpec

__all__ = ['observations', 'point_features']


def observations(datapoint: Datapoint, spec: DatasetSpec) -> tuple[Array, Array]:
    """Values ``[N, C]`` scaled to [-1, 1] and zero where not observed, and whether they are observed ``[N, 1]``.

    A point of weight 0 may hold anything, not-a-number included.
    """
    low, high = spec.data_range
    observed = jnp.asarray(datapoint.weight)[:, None] > 0
    return jnp.where(observed, 2 * (jnp.asarray(datapoint.values) - low) / (high - low) - 1, 0), observed


def point_features(datapoint: Datapoint, spec: DatasetSpec, num_frequencies: int) -> Array:
    """``[N, D (1 + 2 F) + C]``: coordinates, their sines and cosines in F octaves, values; zero where not observed."""
    values, observed = observations(datapoint, spec)
    coords = jnp.where(observed, jnp.asarray(datapoint.coords), 0)
    angles = jnp.pi * coords[:, None, :] * 2.0 ** jnp.arange(num_frequencies)[None, :, None]
    angles = angles.reshape(coords.shape[0], -1)
    return jnp.concatenate([coords, jnp.sin(angles), jnp.cos(angles), values], axis=-1)
