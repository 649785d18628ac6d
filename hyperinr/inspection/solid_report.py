"""The solids of a neural dataset of shapes: surfaces as files and a picture, and their IoU with the originals."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from hyperinr.errors import InputError
from hyperinr.inspection.solid_pictures import draw_surfaces
from hyperinr.inspection.store_statistics import sample_rows
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.neural_datasets.surfaces import extract_surface, volumetric_iou, write_surface

__all__ = ['draw_solids', 'volumetric_ious']

RESOLUTION = 48

Truth = Callable[[int, np.ndarray], np.ndarray]
"""``(source index, coords [n, 3]) -> values [n, 1]`` of a signal anywhere."""


def level_of(store: NeuralDataset) -> tuple[float, bool]:
    """Value at the surface, and whether it is higher inside: occupancy in [0, 1], or signed distance about 0."""
    low, _ = store.description.spec.data_range
    return (0.0, False) if low < 0 else (0.5, True)


def volumetric_ious(
    store: NeuralDataset, truth: Truth, *, most: int = 100, num_points: int = 50_000, seed: int = 0
) -> np.ndarray:
    """IoU ``[n]`` of some INRs with their originals.

    Args:
      store: of shapes.
      truth: the originals.
      most: n is at most this.
      num_points: uniform in the cube, for each.
      seed: of the choice and of the points.
    """
    level, is_high = level_of(store)
    apply = jax.jit(store.inr.apply)

    def is_inside(values: np.ndarray) -> np.ndarray:
        return values[:, 0] > level if is_high else values[:, 0] < level

    def iou(row: int) -> float:
        tree = jax.tree.map(lambda leaf: leaf[0], store.pytrees([row]))
        source = int(store.column('source_index')[row])
        return volumetric_iou(
            lambda points: is_inside(np.asarray(apply(tree, points))),
            lambda points: is_inside(truth(source, points)),
            num_points=num_points,
            seed=seed,
        )

    return np.array([iou(int(row)) for row in sample_rows(store, most=most, seed=seed)])


def draw_solids(store: NeuralDataset, rows: dict[str, np.ndarray], folder: Path) -> Path:
    """Writes the surface of each row as ``solid_<index>.obj`` and a picture of all.

    Args:
      store: of shapes.
      rows: caption -> rows.
      folder: to write to.
    """
    level, is_high = level_of(store)
    surfaces = {}
    for name, group in rows.items():
        for row in group:
            index, psnr = int(store.column('index')[row]), float(store.column('psnr_db')[row])
            tree = jax.tree.map(lambda leaf: leaf[0], store.pytrees([row]))
            try:
                surface = extract_surface(store.inr, tree, resolution=RESOLUTION, level=level, inside_is_high=is_high)
            except InputError:
                continue  # an INR without a solid has no surface to draw; its PSNR is on the page
            write_surface(folder / f'solid_{index}.obj', surface)
            surfaces[f'{name} {index}: {psnr:.1f} dB'] = surface
    if not surfaces:
        raise InputError(f'no INR of {store.folder} holds a solid at the level {level}.')
    return draw_surfaces(surfaces, folder / 'solids.png')
