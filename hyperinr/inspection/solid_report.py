"""Show the solids of a neural dataset of shapes: surfaces as files and a picture, and their IoU with the originals."""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from hyperinr.errors import InputError
from hyperinr.evaluation.solids import volumetric_iou
from hyperinr.files.surfaces import Surface, extract_surface, sample_surface, write_surface
from hyperinr.inspection.pictures import new_figure, save_figure
from hyperinr.inspection.store_statistics import sample_rows
from hyperinr.kinds.solids import level_of
from hyperinr.metrics import chamfer_distance
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.store import NeuralDataset

__all__ = ['draw_solids', 'draw_surfaces', 'volumetric_ious']

RESOLUTION = 48
NUM_COLUMNS = 4
"""Columns of the picture."""
NUM_SURFACE = 5000
"""Points on each surface for the Chamfer distance."""
ANOTHER_DRAW = 1
"""Draw of evaluation points that differs from the draw of the fits' target."""


def volumetric_ious(store: NeuralDataset, signals: Signals, *, most: int = 100) -> np.ndarray | None:
    """Return the IoU ``[n]`` of some INRs with their originals, at points unseen by any fit; ``None`` without solids.

    Args:
      store: store of shapes.
      signals: the originals.
      most: largest n.
    """
    rows = sample_rows(store, most=most)
    points = signals.probes(store.column('source_index')[rows], draw=ANOTHER_DRAW)
    if points is None:
        return None
    return volumetric_iou(store.inr, store.pytrees(rows), points, level_of(store.description.spec))


def draw_solids(
    store: NeuralDataset, rows: dict[str, np.ndarray], folder: Path, signals: Signals | None = None
) -> tuple[Path, list[float]]:
    """Write the surface of each row as ``solid_<index>.obj``, and a picture of all.

    Args:
      store: store of shapes.
      rows: caption -> rows.
      folder: folder to write to.
      signals: the originals.

    Returns:
      The picture, and the Chamfer distances of the rows to their originals, for rows with a surface in both.
    """
    level, is_high = level_of(store.description.spec)
    surfaces, chamfers = {}, {}
    for name, group in rows.items():
        for row in group:
            index, iou = int(store.column('index')[row]), float(store.column('iou')[row])
            tree = jax.tree.map(lambda leaf: leaf[0], store.pytrees([row]))
            try:
                surface = extract_surface(store.inr, tree, resolution=RESOLUTION, level=level, inside_is_high=is_high)
            except InputError:
                continue  # an INR without a solid has no surface to draw; its PSNR is on the page
            write_surface(folder / f'solid_{index}.obj', surface)
            source = int(store.column('source_index')[row])
            original = None if signals is None else signals.surface(source, NUM_SURFACE)
            if original is not None:
                chamfers[index] = chamfer_distance(sample_surface(surface, NUM_SURFACE), original)
            known = f'IoU {iou:.3f}' if np.isfinite(iou) else f'{store.column("psnr_db")[row]:.1f} dB'
            surfaces[f'{name} {index}: {known}'] = surface
    if not surfaces:
        raise InputError(f'no INR of {store.folder} holds a solid at the level {level}.')
    return draw_surfaces(surfaces, folder / 'solids.png'), list(chamfers.values())


def draw_surfaces(surfaces: Mapping[str, Surface], path: Path) -> Path:
    """Draw all surfaces side by side in one PNG, shaded by their normals.

    Args:
      surfaces: caption -> surface.
      path: path of the PNG.

    Raises:
      InputError: matplotlib is missing.
    """
    columns = min(NUM_COLUMNS, len(surfaces))
    rows = -(-len(surfaces) // columns)
    figure = new_figure(2.2 * columns, 2.4 * rows)
    for number, (caption, surface) in enumerate(surfaces.items()):
        axes = figure.add_subplot(rows, columns, number + 1, projection='3d')
        axes.plot_trisurf(*surface.vertices.T, triangles=surface.faces, color=(0.55, 0.7, 0.95))
        axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1), box_aspect=(1, 1, 1))
        axes.set_axis_off()
        axes.set_title(caption, fontsize=8)
    return save_figure(figure, path)
