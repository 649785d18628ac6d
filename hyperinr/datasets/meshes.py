"""A dataset of solids from a folder of closed triangle meshes. The cache keeps the points that are drawn of each."""

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_seed
from hyperinr.datasets.base import Dataset, random_split
from hyperinr.datasets.cache import cache_folder
from hyperinr.datasets.folders import described, existing_folder, fingerprint, list_files
from hyperinr.datasets.shapes import Arrays, PointRule, Quantity, ShapeSource, check_rule, shape_spec
from hyperinr.errors import InputError
from hyperinr.files.limits import check_archive, check_mesh_file
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import replacing

__all__ = ['SUFFIXES', 'Mesh', 'mesh_folder', 'read_mesh']

SUFFIXES = ('.obj', '.off', '.ply', '.stl')
REACH = 0.9
logger = logging.getLogger(__name__)


class Mesh:
    """A closed triangle mesh.

    Args:
      vertices: ``[V, 3]``.
      faces: ``[F, 3]`` positions of the corners in ``vertices``, counter-clockwise as seen from outside.

    Raises:
      InputError: libigl is missing.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self._igl = import_extra('igl', needed_by='a mesh', package='libigl', extra='shapes')
        self._vertices, self._faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
        self._triangles = self._vertices[self._faces]
        edges = self._triangles[:, 1:] - self._triangles[:, :1]
        areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
        self._odds = areas / areas.sum()

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


def read_mesh(path: Path) -> Mesh:
    """Read a mesh file; move and scale the mesh into [-0.9, 0.9]^3 with its proportions kept.

    Raises:
      InputError: the file is not a mesh or too long, the mesh is not closed, or trimesh or libigl is missing.
    """
    trimesh = import_extra('trimesh', needed_by='a mesh', package='trimesh', extra='shapes')
    check_mesh_file(path)
    try:
        loaded: Any = trimesh.load_mesh(path)
        vertices, faces = np.asarray(loaded.vertices, np.float64), np.asarray(loaded.faces)
        watertight = bool(loaded.is_watertight)
    except Exception as error:
        raise InputError(f'{path} is not a triangle mesh that can be read ({error}); remove or repair it.') from error
    if len(faces) == 0:
        raise InputError(f'{path} holds no triangles; remove it.')
    if not watertight:
        raise InputError(
            f'{path} is not watertight: some edges do not belong to two triangles, so it has no inside; close its '
            'holes (e.g. in Blender or MeshLab) or remove it.'
        )
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = (vertices - (low + high) / 2) * (2 * REACH / (high - low).max())
    return Mesh(vertices, faces if loaded.volume > 0 else faces[:, ::-1])


@checked
def mesh_folder(
    *,
    path: str,
    num_points: int = 2048,
    near_fraction: float = 0.5,
    near_distance: float = 0.05,
    quantity: Quantity = 'occupancy',
    truncation: float = 1.0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of all meshes in a folder, in a random split. Each sub-folder is a class.

    Args:
      path: path of the folder.
      num_points, near_fraction, near_distance, quantity, truncation: as for `hyperinr.datasets.solids`.
      fractions: fractions of the meshes for training, validation and test; every split gets at least one mesh.
      seed: seed of the split and the points.
      data_dir: see `hyperinr.datasets.cache_folder`. It keeps the points under a hash of the mesh's content.

    Raises:
      InputError: a wrong argument, no folder, fewer than three meshes, or a mesh that is not closed (raised when it
        is read).
    """
    check_seed('mesh_folder', seed)
    rule = check_rule('mesh_folder', PointRule(num_points, near_fraction, near_distance, quantity, truncation))
    folder = existing_folder('mesh_folder.path', path, 'meshes')
    files, note = (listing := list_files(folder, SUFFIXES)).files, listing.note()
    if len(files) < 3:
        raise InputError(
            f'mesh_folder.path {path!r} holds {len(files)} meshes ({", ".join(SUFFIXES)}; {note or "no other files"}); '
            'at least three are needed, one for each split.'
        )
    if note:
        logger.warning('%s: %s', folder, note)
    classes = sorted({file.parent for file in files})
    edges = np.round(np.cumsum(fractions)[:2] * len(files)).astype(int)
    first = int(np.clip(edges[0], 1, len(files) - 2))
    second = int(np.clip(edges[1], first + 1, len(files) - 1))
    cache = cache_folder(data_dir) / 'meshes'
    splits = {}
    rows_of = random_split(len(files), (first, second - first, len(files) - second), seed)
    chosen = {split: [files[row] for row in rows] for split, rows in rows_of.items()}
    for position, (split, mine) in enumerate(chosen.items()):
        splits[split] = ShapeSource(
            functools.lru_cache(8)(lambda index, mine=tuple(mine): read_mesh(mine[index])),
            [str(file.relative_to(folder)) for file in mine],
            np.array([classes.index(file.parent) for file in mine]),
            rule,
            stream=(seed, position),
            kept=functools.partial(_kept, cache, mine, (*rule, seed, position)),
        )
    spec = shape_spec('mesh_folder', rule, num_datapoints=len(splits['train']), num_labels=len(classes))
    return Dataset(spec, splits, fingerprint(described(chosen, folder, data_dir)))


def _kept(
    cache: Path,
    files: list[Path],
    recipe: tuple,
    index: int,
    what: str,
    make: Callable[[], Arrays],
) -> Arrays:
    """Return the points drawn of a mesh from the cache; if they are not there or damaged, make and store them."""
    check_mesh_file(files[index])
    try:
        digest = hashlib.sha256(files[index].read_bytes())
    except OSError as error:
        raise InputError(f'{files[index]} cannot be read ({error.strerror}); allow reading or remove it.') from error
    digest.update(repr((*recipe, index)).encode())
    kept = cache / f'{digest.hexdigest()[:32]}-{what}.npz'
    if os.path.isfile(kept):
        with contextlib.suppress(Exception):  # A damaged archive raises errors of many kinds.
            check_archive(kept)
            with kept.open('rb') as file, np.load(file, allow_pickle=False) as archive:
                return tuple(archive[name] for name in archive.files)
    arrays = make()
    with replacing(kept) as temporary, temporary.open('wb') as written:
        np.savez(written, *arrays, allow_pickle=False)
    return arrays
