"""Where the samples of a signal lie: pixel-centre grids in [-1, 1]^D, and latitudes and longitudes on the sphere."""

from collections.abc import Sequence

import numpy as np

from hyperinr.annotations import checked

__all__ = ['LAYOUTS', 'PIXEL_CENTRES', 'SPHERE', 'described', 'dims', 'grid', 'grid_rows', 'on_sphere']

PIXEL_CENTRES, SPHERE = 'pixel_centres', 'sphere'
LAYOUTS = (PIXEL_CENTRES, SPHERE)
"""Where the samples of a grid lie, see `grid`."""


@checked
def grid(shape: Sequence[int], layout: str = PIXEL_CENTRES) -> np.ndarray:
    """Return the samples of a grid, in row-major order: pixel centres that fill [-1, 1]^D, or points of a sphere.

    Axis ``d`` of the grid runs along coordinate ``d``: for an image ``(height, width)`` coordinate 0 points down and
    coordinate 1 to the right, so ``grid(image.shape[:2])`` and ``image.reshape(-1, C)`` belong together for every
    aspect ratio. Each axis spans [-1, 1] on its own; sample ``i`` of ``n`` lies at ``(2 i + 1) / n - 1``.

    The layout ``'sphere'`` is ``(latitudes, longitudes)``, and D = 3: the points `on_sphere` at equal distances, from
    the north pole to the south pole, both included, and from longitude 0 eastward.

    Args:
      shape: samples along each axis, each >= 1.
      layout: one of `LAYOUTS`.

    Returns:
      ``[prod(shape), D]`` float32 in [-1, 1].

    Raises:
      ValueError: a size below 1, no axis, or a sphere of other than two axes or fewer than 2 latitudes.

    Example:
      >>> grid((1, 2)).tolist()
      [[0.0, -0.5], [0.0, 0.5]]
    """
    axes = np.meshgrid(*_axes(shape, layout), indexing='ij')
    return _points([axis.ravel() for axis in axes], layout)


def grid_rows(shape: Sequence[int], rows: np.ndarray, layout: str = PIXEL_CENTRES) -> np.ndarray:
    """Return ``grid(shape, layout)[rows]``, ``[n, D]``, without the rest of the grid.

    Example:
      >>> grid_rows((1000, 1000, 1000), np.array([0])).tolist()[0][0]
      -0.9990000128746033
    """
    axes = _axes(shape, layout)
    return _points([axis[at] for axis, at in zip(axes, np.unravel_index(rows, shape), strict=True)], layout)


def described(shape: Sequence[int] | None, layout: str = PIXEL_CENTRES) -> str:
    """Return where the samples of a grid lie, in words; of scattered points for no ``shape``."""
    if shape is None:
        return 'scattered points in [-1, 1]'
    if layout == SPHERE:
        return 'on the unit sphere: latitudes from 90 to -90 degrees, longitudes from 0 eastward, row-major'
    return 'pixel centres (2 i + 1) / n - 1 in [-1, 1], one axis of the grid per coordinate, row-major'


def dims(shape: Sequence[int], layout: str = PIXEL_CENTRES) -> int:
    """Return D, the coordinate dimensions of a grid of this shape."""
    return 3 if layout == SPHERE else len(shape)


@checked
def on_sphere(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return points of the unit sphere, ``[..., 3]`` float32: no seam at the date line, one point at each pole.

    Args:
      latitude: ``[...]`` degrees north, in [-90, 90].
      longitude: ``[...]`` degrees east.

    Example:
      >>> on_sphere(np.array(0.0), np.array(90.0)).round(3).tolist()
      [0.0, 1.0, 0.0]
    """
    north, east = np.radians(np.asarray(latitude, np.float64)), np.radians(np.asarray(longitude, np.float64))
    across = np.cos(north)
    return np.stack([across * np.cos(east), across * np.sin(east), np.sin(north)], axis=-1).astype(np.float32)


def _axes(shape: Sequence[int], layout: str) -> list[np.ndarray]:
    """Return the positions of the samples along each axis."""
    if len(shape) == 0 or min(shape) < 1:
        raise ValueError(f'grid shape {tuple(shape)} must have at least one axis and only sizes >= 1.')
    if layout == PIXEL_CENTRES:
        return [((2 * np.arange(n) + 1) / n - 1).astype(np.float32) for n in shape]
    if layout != SPHERE or len(shape) != 2 or shape[0] < 2:
        raise ValueError(f'no grid {tuple(shape)} of layout {layout!r}: a sphere has (latitudes >= 2, longitudes).')
    return [np.linspace(90.0, -90.0, shape[0]), np.arange(shape[1]) * (360.0 / shape[1])]


def _points(axes: list[np.ndarray], layout: str) -> np.ndarray:
    return on_sphere(*axes) if layout == SPHERE else np.stack(axes, axis=-1)
