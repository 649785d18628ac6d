"""Random functions of the coordinates: ``(rng, coord_dims, channels) -> (coords [N, D] -> values [N, C] in [0, 1])``.

A new one is any function of that signature; `hyperinr.datasets.continuous_function` takes it as its ``function``.
"""

from collections.abc import Callable

import numpy as np

__all__ = ['Field', 'RandomFunction', 'blobs', 'waves']

Field = Callable[[np.ndarray], np.ndarray]
"""``coords [N, D] in [-1, 1] -> values [N, C]``."""


RandomFunction = Callable[[np.random.Generator, int, int], Field]
"""``(rng, coord_dims, channels) ->`` one function, drawn at random; consumes ``rng``."""


def waves(
    rng: np.random.Generator, coord_dims: int, channels: int, *, num_waves: int = 8, max_cycles: float = 4.0
) -> Field:
    """Draw a sum of plane waves whose spectrum falls as 1 / frequency.

    The frequencies are log-uniform and the directions uniform; all channels share them. Each channel has its own phases
    and signs. The amplitudes add up to 1/2, so that the values stay within [0, 1] everywhere.

    Args:
      rng: consumed.
      coord_dims: D.
      channels: C.
      num_waves: M.
      max_cycles: the highest frequency, in periods between -1 and 1; the lowest is half a period.
    """
    directions = rng.normal(size=(num_waves, coord_dims))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cycles = np.exp(rng.uniform(np.log(0.5), np.log(max_cycles), (num_waves, 1)))
    phases = rng.uniform(0, 2 * np.pi, (num_waves, channels))
    amplitudes = rng.normal(size=(num_waves, channels)) / cycles
    amplitudes /= 2 * np.abs(amplitudes).sum(axis=0)

    def field(coords: np.ndarray) -> np.ndarray:
        angles = np.pi * coords @ (directions * cycles).T
        return 0.5 + np.einsum('nmc,mc->nc', np.cos(angles[:, :, None] + phases), amplitudes)

    return field


def blobs(
    rng: np.random.Generator, coord_dims: int, channels: int, *, num_blobs: int = 6, min_radius: float = 0.1
) -> Field:
    """Draw coloured Gaussian blobs on a coloured ground.

    The values are a weighted mean of colours in [0, 1], so they stay within [0, 1] everywhere.

    Args:
      rng: consumed.
      coord_dims: D.
      channels: C.
      num_blobs: M.
      min_radius: the smallest standard deviation of a blob, in coordinates; the largest is 1/2.
    """
    centres = rng.uniform(-1, 1, (num_blobs, coord_dims))
    radii = np.exp(rng.uniform(np.log(min_radius), np.log(0.5), num_blobs))
    ground, colours = rng.uniform(size=channels), rng.uniform(size=(num_blobs, channels))

    def field(coords: np.ndarray) -> np.ndarray:
        squared = np.sum((coords[:, None, :] - centres) ** 2, axis=-1) / radii**2
        shares = 4 * np.exp(-squared / 2)
        return (ground + shares @ colours) / (1 + shares.sum(axis=1, keepdims=True))

    return field
