"""Where the samples of a signal lie: pixel-centre grids in [-1, 1]^D."""

from collections.abc import Sequence

import numpy as np

from hyperinr.annotations import checked

__all__ = ['grid', 'grid_rows']


@checked
def grid(shape: Sequence[int]) -> np.ndarray:
    """Return the pixel centres of a grid that fills [-1, 1]^D, in row-major order.

    Axis ``d`` of the grid runs along coordinate ``d``: for an image ``(height, width)`` coordinate 0 points down and
    coordinate 1 to the right, so ``grid(image.shape[:2])`` and ``image.reshape(-1, C)`` belong together for every
    aspect ratio. Each axis spans [-1, 1] on its own; sample ``i`` of ``n`` lies at ``(2 i + 1) / n - 1``.

    Args:
      shape: samples along each of the D axes, each >= 1.

    Returns:
      ``[prod(shape), D]`` float32 in (-1, 1).

    Raises:
      ValueError: a size below 1, or no axis.

    Example:
      >>> grid((1, 2)).tolist()
      [[0.0, -0.5], [0.0, 0.5]]
    """
    if len(shape) == 0 or min(shape) < 1:
        raise ValueError(f'grid shape {tuple(shape)} must have at least one axis and only sizes >= 1.')
    return np.stack([axis.ravel() for axis in np.meshgrid(*_axes(shape), indexing='ij')], axis=-1)


def grid_rows(shape: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """Return ``grid(shape)[rows]``, ``[n, D]``, without the rest of the grid.

    Example:
      >>> grid_rows((1000, 1000, 1000), np.array([0])).tolist()[0][0]
      -0.9990000128746033
    """
    return np.stack([axis[at] for axis, at in zip(_axes(shape), np.unravel_index(rows, shape), strict=True)], axis=-1)


def _axes(shape: Sequence[int]) -> list[np.ndarray]:
    return [((2 * np.arange(n) + 1) / n - 1).astype(np.float32) for n in shape]
