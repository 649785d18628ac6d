"""Draw surfaces, shaded by their normals, without a display."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hyperinr.files.surfaces import Surface
from hyperinr.inspection.pictures import new_figure, save_figure

__all__ = ['draw_surfaces']

LIGHT = np.array([0.4, -0.6, 0.7]) / np.linalg.norm([0.4, -0.6, 0.7])


def draw_surfaces(surfaces: Mapping[str, Surface], path: str | os.PathLike, *, num_columns: int = 4) -> Path:
    """Draw all surfaces side by side in one PNG.

    Args:
      surfaces: caption -> surface.
      path: path of the PNG.
      num_columns: columns of the picture.

    Raises:
      InputError: matplotlib is missing.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    columns = min(num_columns, len(surfaces))
    rows = -(-len(surfaces) // columns)
    figure = new_figure(2.2 * columns, 2.4 * rows)
    for number, (caption, surface) in enumerate(surfaces.items()):
        axes = figure.add_subplot(rows, columns, number + 1, projection='3d')
        triangles = surface.vertices[surface.faces]
        normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        shade = 0.35 + 0.6 * np.clip(normal / np.where(length > 0, length, 1) @ LIGHT, 0, 1)
        colors = shade[:, None] * np.array([0.55, 0.7, 0.95])
        axes.add_collection(Poly3DCollection(triangles, facecolors=colors))
        axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1), box_aspect=(1, 1, 1))
        axes.set_axis_off()
        axes.set_title(caption, fontsize=8)
    return save_figure(figure, path)
