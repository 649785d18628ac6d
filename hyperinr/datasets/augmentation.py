"""Flips and transpositions of images: the eight symmetries of the pixel grid, chosen by a hash, applied to a batch."""

import numpy as np

__all__ = ['augment', 'symmetry']


def _mix(state: np.ndarray) -> np.ndarray:
    """Apply SplitMix64's finaliser; Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def symmetry(seed: int, indices: np.ndarray, epoch: int | np.ndarray) -> np.ndarray:
    """Choose one of the eight symmetries for each datapoint in an epoch: a pure function of the arguments.

    Args:
      seed: seed of the dataset.
      indices: ``[B]`` positions in the source.
      epoch: one number for all, or ``[B]``.

    Returns:
      ``[B]`` int in [0, 8), see `augment`.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    state: np.ndarray = np.zeros(1, np.uint64)
    for word in (seed, epoch, indices):
        state = _mix(state + golden) ^ np.atleast_1d(np.asarray(word, np.int64)).view(np.uint64)
    return (_mix(state + golden) >> np.uint64(61)).astype(np.int64)


def augment(images: np.ndarray, symmetries: np.ndarray) -> np.ndarray:
    """Apply to each image its own symmetry.

    Args:
      images: ``[B, H, W, ...]``.
      symmetries: ``[B]`` in [0, 8): bit 0 flips up and down, bit 1 flips left and right, bit 2 then transposes. A grid
        that is not square is not transposed.

    Returns:
      A new array like ``images``.
    """
    out = np.empty_like(images)
    square = images.shape[1] == images.shape[2]
    for code in np.unique(symmetries):
        rows = np.flatnonzero(symmetries == code)
        chosen = images[rows]
        if code & 1:
            chosen = chosen[:, ::-1]
        if code & 2:
            chosen = chosen[:, :, ::-1]
        if code & 4 and square:
            chosen = chosen.swapaxes(1, 2)
        out[rows] = chosen
    return out
