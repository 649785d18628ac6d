"""From the weights of a shape's INR to a mesh, and how close it is to the shape.

Lorensen and Cline, "Marching cubes" (1987), for the mesh. Letters: ``V`` corners, ``F`` triangles, ``n`` points.
"""

import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from hyperinr import coordinates
from hyperinr.errors import InputError
from hyperinr.files import replacing
from hyperinr.types import Inr, InrWeights

__all__ = ['Surface', 'chamfer_distance', 'extract_surface', 'sample_surface', 'write_surface']

CHUNK = 2**16


class Surface(NamedTuple):
    """A triangle mesh.

    Attributes:
      vertices: ``[V, 3]`` in [-1, 1].
      faces: ``[F, 3]`` int, corners counter-clockwise seen from outside.
    """

    vertices: np.ndarray
    faces: np.ndarray


def evaluate(inr: Inr, weights: InrWeights, coords: np.ndarray) -> np.ndarray:
    """The first channel at ``coords [n, 3]``, ``[n]``, in chunks of one shape."""
    apply = jax.jit(inr.apply)
    values = []
    for first in range(0, len(coords), CHUNK):
        chunk = coords[first : first + CHUNK]
        padded = np.zeros((min(CHUNK, len(coords)), coords.shape[1]), np.float32)
        padded[: len(chunk)] = chunk
        values.append(np.asarray(apply(weights, padded))[: len(chunk), 0])
    return np.concatenate(values)


def extract_surface(
    inr: Inr, weights: InrWeights, *, resolution: int = 64, level: float = 0.5, inside_is_high: bool = True
) -> Surface:
    """Marching cubes on a grid of cell centres, closed at the sides of the cube.

    Args:
      inr: of three coordinates.
      weights: unbatched.
      resolution: cells along each axis, >= 2.
      level: of the surface: 0.5 for occupancy, 0 for signed distance.
      inside_is_high: True for occupancy, False for signed distance.

    Raises:
      InputError: scikit-image is missing, or no value lies on the inner side of ``level``.
    """
    try:
        from skimage import measure
    except ImportError:
        raise InputError('surfaces need scikit-image; install hyperinr[shapes].') from None
    values = evaluate(inr, weights, coordinates.grid((resolution,) * 3)).reshape((resolution,) * 3)
    field = values - level if inside_is_high else level - values
    if not (field > 0).any():
        raise InputError(f'the INR is nowhere inside {level}: it holds no solid at a resolution of {resolution}.')
    # One layer outside all round, so that a solid that touches the side is closed too.
    padded = np.pad(field, 1, constant_values=min(float(field.min()), -1e-3))
    corners, faces, _, _ = measure.marching_cubes(padded, 0.0, gradient_direction='ascent')
    vertices = np.clip((2 * (corners - 1) + 1) / resolution - 1, -1, 1)
    a, b, c = (vertices[faces][:, corner] for corner in range(3))
    outward = np.einsum('fi,fi->', a, np.cross(b, c)) > 0
    return Surface(vertices.astype(np.float32), faces if outward else faces[:, ::-1])


def write_surface(path: str | os.PathLike, surface: Surface) -> None:
    """Writes ``.obj`` or ``.ply`` text.

    Raises:
      InputError: another suffix, or no permission.
    """
    path = Path(path)
    corners = [' '.join(f'{value:.6f}' for value in vertex) for vertex in surface.vertices.tolist()]
    if path.suffix == '.obj':
        lines = [f'v {corner}' for corner in corners]
        lines += [f'f {a + 1} {b + 1} {c + 1}' for a, b, c in surface.faces.tolist()]
    elif path.suffix == '.ply':
        lines = ['ply', 'format ascii 1.0', f'element vertex {len(corners)}']
        lines += [f'property float {axis}' for axis in 'xyz']
        lines += [f'element face {len(surface.faces)}', 'property list uchar int vertex_indices', 'end_header']
        lines += corners + [f'3 {a} {b} {c}' for a, b, c in surface.faces.tolist()]
    else:
        raise InputError(f'{path}: a surface is written as .obj or .ply.')
    with replacing(path) as temporary:
        temporary.write_text('\n'.join(lines) + '\n', encoding='ascii')


def sample_surface(surface: Surface, count: int, *, seed: int = 0) -> np.ndarray:
    """Points ``[count, 3]``, uniform by area."""
    rng = np.random.default_rng(seed)
    triangles = surface.vertices[surface.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    chosen = triangles[rng.choice(len(areas), count, p=areas / areas.sum())]
    first, second = rng.uniform(size=(2, count, 1))
    root = np.sqrt(first)
    return (1 - root) * chosen[:, 0] + root * (1 - second) * chosen[:, 1] + root * second * chosen[:, 2]


def chamfer_distance(points: np.ndarray, others: np.ndarray) -> float:
    """Mean distance from each point to the nearest of the other set, averaged over both directions.

    Fan, Su and Guibas, "A point set generation network for 3D object reconstruction from a single image" (2017),
    section 4.3, with distances instead of their squares.

    Args:
      points: ``[n, 3]`` on one surface.
      others: ``[m, 3]`` on the other.

    Raises:
      InputError: SciPy is missing.
    """
    try:
        from scipy.spatial import KDTree
    except ImportError:
        raise InputError('the Chamfer distance needs SciPy; install hyperinr[shapes].') from None
    there, _ = KDTree(others).query(points)
    back, _ = KDTree(points).query(others)
    return float((np.mean(there) + np.mean(back)) / 2)
