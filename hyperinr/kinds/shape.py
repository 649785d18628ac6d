"""Shapes: three axes of the cube [-1, 1]^3, at whose cell centres a quantity of a mesh is measured.

The mesh is moved and scaled into [-0.9, 0.9]^3; distances are in the units of the cube.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr import coordinates
from hyperinr.errors import InputError
from hyperinr.files.limits import check_pixels
from hyperinr.files.meshes import SUFFIXES, Mesh, read_mesh
from hyperinr.files.refusals import encoding
from hyperinr.files.surfaces import Surface, surface_of, write_surface
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.values import check_spacing, file_values, mapped

__all__ = ['OCCUPANCY', 'SIGNED_DISTANCE', 'UNSIGNED_DISTANCE']

RESOLUTION = 64
"""Cells along each axis."""


class Quantity(NamedTuple):
    """What is measured of a mesh.

    Attributes:
      measure: ``(mesh, points [n, 3]) -> [n]``.
      data_range: range of the signal, and of the quantity unless another is given; beyond it, it is clipped.
      closed: whether the mesh has to be closed.
      level: ``(values, distance from cell to cell) ->`` the value at the surface.
      inside_is_high: whether values are greater inside.
    """

    measure: Callable[[Mesh, np.ndarray], np.ndarray]
    data_range: tuple[float, float]
    closed: bool
    level: Callable[[float], float]
    inside_is_high: bool


QUANTITIES = {
    'occupancy': Quantity(lambda mesh, at: mesh.inside(at), (0.0, 1.0), True, lambda cell: 0.5, True),
    'signed_distance': Quantity(lambda mesh, at: mesh.signed_distance(at), (-1.0, 1.0), True, lambda cell: 0.0, False),
    # It is 0 at the surface alone: what is extracted lies half a diagonal of a cell off, on both sides.
    'unsigned_distance': Quantity(
        lambda mesh, at: mesh.unsigned_distance(at), (0.0, 1.0), False, lambda cell: 3**0.5 / 2 * cell, False
    ),
}


def _kind(name: str) -> Kind:
    quantity = QUANTITIES[name]

    def read(
        path: Path,
        *,
        channels: int | None = None,
        data_range: tuple[float, float] | None = None,
        spacing: tuple[float, ...] | None = None,
    ) -> Signal:
        if channels not in (None, 1):
            raise InputError(f'{name.replace("_", " ")} has 1 channel, not {channels}.')
        spacing = check_spacing(spacing, 3, 'the distances from cell to cell in the cube [-1, 1]^3')
        shape = tuple(max(2, round(2 / each)) for each in spacing) if spacing else (RESOLUTION,) * 3
        check_pixels(path, shape[0] * shape[1] * shape[2], 'cells')
        mesh = read_mesh(path, closed=quantity.closed)
        measured = quantity.measure(mesh, coordinates.grid(shape).astype(np.float64)).reshape(*shape, 1)
        ends = quantity.data_range
        found = mapped(measured.astype(np.float32), data_range or ends, path, ends=ends)
        about = {'file_range': list(found.file_range), 'scale': mesh.scale, 'centre': list(mesh.centre)}
        return Signal(found.values, ends, {**about, 'spacing': [2 / n for n in shape]})

    def write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
        with encoding(path, 'a shape'):
            if values.ndim != 4 or values.shape[-1] != 1:
                raise ValueError(f'values of shape {values.shape}')
            scale, centre = float(metadata.get('scale', 1)), np.asarray(metadata.get('centre', (0, 0, 0)), float)
            level = quantity.level(2 / min(values.shape[:3]))
            found = file_values(values, metadata)[..., 0]
            surface = surface_of(found, level=level, inside_is_high=quantity.inside_is_high)
            placed = surface.vertices.astype(np.float64) / scale + centre.reshape(1, 3)
            if not np.isfinite(placed).all():
                raise ValueError(f'scale {scale}, centre {centre.tolist()}')
        write_surface(path, Surface(placed, surface.faces))

    return Kind(name, SUFFIXES, '.obj', read, write, num_axes=3)


OCCUPANCY = _kind('occupancy')
"""1 inside a closed mesh, 0 outside; written as OBJ by marching cubes."""
SIGNED_DISTANCE = _kind('signed_distance')
"""Distance from a closed mesh, negative inside, clipped to [-1, 1]; written as OBJ by marching cubes."""
UNSIGNED_DISTANCE = _kind('unsigned_distance')
"""Distance from any mesh or cloud of points, clipped to [0, 1]; written as an OBJ that encloses the surface."""
