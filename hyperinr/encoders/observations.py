"""What encoders need of a datapoint: its grid, and its values, scaled and masked."""

import jax.numpy as jnp

from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, DatasetSpec

__all__ = ['grid_of', 'marked_values', 'observations', 'point_features']


def grid_of(spec: DatasetSpec, encoder: str, most_axes: int | None = None) -> tuple[int, ...]:
    """Return the shape of the dataset's grid.

    Args:
      spec: specification of the dataset.
      encoder: subject of the message, such as ``'the dense encoder'``.
      most_axes: largest number of axes that the grid may have; ``None``: any.

    Raises:
      InputError: the points are scattered, or the grid has more axes.
    """
    grid = spec.grid_shape
    if grid is None or (most_axes is not None and len(grid) > most_axes):
        needed = 'any number of' if most_axes is None else f'1 to {most_axes}'
        raise InputError(
            f'{encoder} needs a grid of {needed} axes; dataset {spec.name!r} has {grid or "scattered points"}: '
            'use encoders.set_encoder or encoders.set_transformer.'
        )
    return grid


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
