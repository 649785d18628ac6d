"""Reading of triangle meshes and point clouds, and distances from them.

Letters: ``V`` corners, ``F`` triangles, ``n`` points.
"""

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError, first_line
from hyperinr.files.limits import check_mesh_file
from hyperinr.runtime.extras import import_extra

__all__ = ['SUFFIXES', 'Mesh', 'read_mesh']

SUFFIXES = ('.obj', '.off', '.ply', '.stl')
REACH = 0.9
"""Largest coordinate of a mesh that was read."""


class Mesh:
    """A triangle mesh, or a cloud of points if there are no triangles.

    Args:
      vertices: ``[V, 3]``.
      faces: ``[F, 3]`` positions of the corners in ``vertices``, counter-clockwise as seen from outside.
      scale: factor by which the mesh was scaled when it was read,
      centre: after this point of its file was moved to the origin.

    Raises:
      InputError: libigl is missing.
    """

    def __init__(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        *,
        scale: float = 1.0,
        centre: tuple[float, ...] = (0.0, 0.0, 0.0),
    ):
        self._igl = import_extra('igl', needed_by='a mesh', package='libigl', extra='shapes')
        self._vertices, self._faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
        self.scale, self.centre = scale, centre

    @functools.cached_property
    def _triangles(self) -> np.ndarray:
        return self._vertices[self._faces]

    @functools.cached_property
    def _odds(self) -> np.ndarray:
        edges = self._triangles[:, 1:] - self._triangles[:, :1]
        areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
        return areas / areas.sum()

    def surface(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw ``[count, 3]`` points on the surface, uniform by area."""
        chosen = self._triangles[rng.choice(len(self._odds), count, p=self._odds)]
        first, second = rng.uniform(size=(2, count, 1))
        root = np.sqrt(first)
        return (1 - root) * chosen[:, 0] + root * (1 - second) * chosen[:, 1] + root * second * chosen[:, 2]

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Tell which points are inside by the winding number: 1 inside, 0 outside, robust to small cracks.

        Jacobson, Kavan and Sorkine-Hornung, "Robust inside-outside segmentation using generalized winding numbers"
        (2013), by libigl.
        """
        return self._igl.winding_number(self._vertices, self._faces, points) > 0.5

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Return the distance to the nearest triangle, negative where `inside`."""
        sign = self._igl.SIGNED_DISTANCE_TYPE_WINDING_NUMBER
        return self._igl.signed_distance(points, self._vertices, self._faces, sign_type=sign)[0]

    def unsigned_distance(self, points: np.ndarray) -> np.ndarray:
        """Return the distance to the nearest triangle, or to the nearest point of a cloud."""
        if len(self._faces):
            return np.sqrt(self._igl.point_mesh_squared_distance(points, self._vertices, self._faces)[0])
        spatial = import_extra('scipy.spatial', needed_by='a cloud of points', package='SciPy', extra='shapes')
        return spatial.KDTree(self._vertices).query(points)[0]


def read_mesh(path: Path, *, closed: bool = True) -> Mesh:
    """Read a mesh file; move and scale the mesh into [-0.9, 0.9]^3 with its proportions kept.

    Materials and textures that a file names are not opened.

    Args:
      path: path of the file, with one of the `SUFFIXES`.
      closed: False: a mesh with holes and a cloud of points are read too.

    Raises:
      InputError: the file is not a mesh or too long, the mesh is not closed, or trimesh or libigl is missing.
    """
    trimesh = import_extra('trimesh', needed_by='a mesh', package='trimesh', extra='shapes')
    check_mesh_file(path)
    try:
        # From memory, so that trimesh cannot tell where the files lie that this one names.
        content = io.BytesIO(path.read_bytes())
        loaded: Any = trimesh.load_scene(content, file_type=path.suffix.lower()[1:]).to_geometry()
        vertices = np.asarray(loaded.vertices, np.float64).reshape(-1, 3)
        faces = np.asarray(getattr(loaded, 'faces', ()), np.int64).reshape(-1, 3)
        watertight = len(faces) > 0 and bool(loaded.is_watertight)
    except Exception as error:
        said = first_line(error)
        raise InputError(f'{path} is not a triangle mesh that can be read ({said}); remove or repair it.') from error
    if len(faces) == 0 and (closed or len(vertices) == 0):
        raise InputError(f'{path} holds no triangles; remove it.')
    if closed and not watertight:
        raise InputError(
            f'{path} is not watertight: some edges do not belong to two triangles, so it has no inside; close its '
            'holes (e.g. in Blender or MeshLab), remove it, or take its unsigned distance (--as unsigned_distance).'
        )
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    extent = float((high - low).max())
    if not 0 < extent < np.inf:
        raise InputError(f'{path} has no extent, or corners that are not finite; remove or repair it.')
    centre, scale = (low + high) / 2, 2 * REACH / extent
    turned = closed and loaded.volume < 0
    return Mesh(
        (vertices - centre) * scale, faces[:, ::-1] if turned else faces, scale=scale, centre=tuple(centre.tolist())
    )
