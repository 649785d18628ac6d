"""Extraction of a mesh from the INR of a shape.

Meshes are extracted as in Lorensen and Cline, "Marching cubes" (1987).

Letters: ``V`` corners, ``F`` triangles, ``n`` points.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import coordinates
from hyperinr.errors import InputError
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.outputs import replacing_output
from hyperinr.types import Inr, InrWeights

__all__ = ['Surface', 'extract_surface', 'sample_surface', 'surface_of', 'write_surface']

CHUNK = 2**16


class Surface(NamedTuple):
    """A triangle mesh.

    Attributes:
      vertices: ``[V, 3]`` in [-1, 1].
      faces: ``[F, 3]`` int, corners in counter-clockwise order as seen from outside.
    """

    vertices: np.ndarray
    faces: np.ndarray


def evaluate(inr: Inr, weights: InrWeights, coords: np.ndarray) -> np.ndarray:
    """Return the first channel ``[n]`` at ``coords [n, 3]``, `CHUNK` points at a time to bound the memory."""
    one = lambda point: inr.apply(weights, point[None])[0, 0]
    return np.asarray(jax.jit(lambda points: jax.lax.map(one, points, batch_size=CHUNK))(coords))


def extract_surface(
    inr: Inr, weights: InrWeights, *, resolution: int = 64, level: float = 0.5, inside_is_high: bool = True
) -> Surface:
    """Extract a mesh by marching cubes on a grid of cell centres. It is closed at the sides of the cube.

    Args:
      inr: an INR of three coordinates.
      weights: its weights, unbatched.
      resolution: cells along each axis, >= 2.
      level: value at the surface: 0.5 for occupancy, 0 for signed distance.
      inside_is_high: True for occupancy, False for signed distance.

    Raises:
      InputError: scikit-image is missing, or no point is inside the surface.
    """
    values = evaluate(inr, weights, coordinates.grid((resolution,) * 3)).reshape((resolution,) * 3)
    return surface_of(values, level=level, inside_is_high=inside_is_high)


def surface_of(values: np.ndarray, *, level: float, inside_is_high: bool) -> Surface:
    """Extract a mesh from values at the cell centres of a grid ``[*grid]`` of three axes; see `extract_surface`."""
    measure = import_extra('skimage.measure', needed_by='a surface', package='scikit-image', extra='shapes')
    field = values - level if inside_is_high else level - values
    if not (field > 0).any():
        raise InputError(f'there is no value inside {level}: the shape holds no solid on a grid of {values.shape}.')
    # One layer of outside around the cube also closes a solid that touches its sides.
    padded = np.pad(field, 1, constant_values=min(float(field.min()), -1e-3))
    corners, faces, _, _ = measure.marching_cubes(padded, 0.0, gradient_direction='ascent')
    vertices = np.clip((2 * (corners - 1) + 1) / values.shape - 1, -1, 1)
    return Surface(vertices.astype(np.float32), faces)


def _trimesh() -> Any:
    return import_extra('trimesh', needed_by='a mesh', package='trimesh', extra='shapes')


def write_surface(path: str | os.PathLike, surface: Surface) -> None:
    """Write a surface as ``.obj`` or ``.ply``.

    Raises:
      InputError: another suffix, no permission, another program wrote ``path``, or trimesh is missing.
    """
    path = Path(path)
    if path.suffix not in ('.obj', '.ply'):
        raise InputError(f'{path}: a surface is written as .obj or .ply.')
    mesh = _trimesh().Trimesh(surface.vertices, surface.faces, process=False)
    said = 'written by hyperinr'
    if path.suffix == '.obj':
        content = mesh.export(file_type='obj', header=said).encode()
    else:
        start, end, rest = mesh.export(file_type='ply').partition(b'end_header\n')
        content = start + f'comment {said}\n'.encode() + end + rest
    with replacing_output(path) as temporary:
        temporary.write_bytes(content)


def sample_surface(surface: Surface, count: int, *, seed: int = 0) -> np.ndarray:
    """Draw points ``[count, 3]``, uniform by area.

    Raises:
      InputError: trimesh is missing.
    """
    trimesh = _trimesh()
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    return np.asarray(trimesh.sample.sample_surface(mesh, count, seed=seed)[0])
