"""A dataset of solids from a folder of closed triangle meshes. The cache keeps the points that are drawn of each."""

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_seed
from hyperinr.datasets.base import Dataset, random_split
from hyperinr.datasets.cache import cache_folder
from hyperinr.datasets.folders import described, existing_folder, fingerprint, list_files
from hyperinr.datasets.shapes import Arrays, PointRule, Quantity, ShapeSource, check_rule, shape_spec
from hyperinr.errors import InputError
from hyperinr.files.limits import check_archive, check_mesh_file
from hyperinr.files.meshes import SUFFIXES, read_mesh
from hyperinr.runtime.files import replacing

__all__ = ['mesh_folder']

logger = logging.getLogger(__name__)


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
