"""Latitudes and longitudes of a file: which axes they are, in which order they are read, and where the samples lie.

Letters: ``H`` latitudes, ``W`` longitudes of the file, ``w`` of them each once.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hyperinr import coordinates

__all__ = ['UNITS', 'Globe', 'is_axis', 'whole']

UNITS = {
    'latitude': ('degrees_north', 'degree_north', 'degree_n', 'degrees_n', 'degreen', 'degreesn'),
    'longitude': ('degrees_east', 'degree_east', 'degree_e', 'degrees_e', 'degreee', 'degreese'),
}
"""CF conventions 1.11, sections 4.1 and 4.2, in lower case."""
NAMES = {'latitude': ('lat', 'latitude', 'nav_lat'), 'longitude': ('lon', 'longitude', 'long', 'nav_lon')}
EXACT = 1e-3
"""Degrees within which two positions are one. A float32 holds 360 to 3e-5."""
GAP = 1.5
"""Times the median distance of longitudes, beyond which a distance is taken for the end of a region."""


def is_axis(what: str, name: str, attributes: Mapping[str, Any]) -> bool:
    """Tell whether a coordinate is the ``'latitude'`` or the ``'longitude'``, by standard name, units or name."""
    standard, units = (str(attributes.get(key, '')).lower() for key in ('standard_name', 'units'))
    return standard == what or units in UNITS[what] or name.lower() in NAMES[what]


class Globe(NamedTuple):
    """The axes of a file, in degrees, in the file's order: ``latitude [H]``, ``longitude [W]``."""

    latitude: np.ndarray
    longitude: np.ndarray

    def rows(self) -> np.ndarray:
        """Return the positions ``[H]`` of the latitudes from north to south."""
        return np.argsort(-self.latitude, kind='stable')

    def columns(self) -> np.ndarray:
        """Return the positions ``[w]`` of the longitudes, each once: from 0 eastward; of a region, from its west."""
        east = _east(self.longitude)
        order = np.argsort(east, kind='stable')
        order = order[np.diff(east[order], prepend=-360.0) > EXACT]
        apart = np.diff(east[order], append=east[order[0]] + 360.0)
        widest = int(np.argmax(apart))
        return np.roll(order, -widest - 1) if apart[widest] > GAP * np.median(apart) else order

    def ordered(self) -> 'Globe':
        """Return the axes as they are read: latitudes fall, longitudes rise, beyond 360 where a region passes 0."""
        east = _east(self.longitude)[self.columns()]
        return Globe(self.latitude[self.rows()], np.where(east < east[0], east + 360.0, east))

    def read(self, array: np.ndarray) -> np.ndarray:
        """Return ``[..., H, W]`` of the file in the order of `ordered`, ``[..., H, w]``."""
        return array[..., self.rows()[:, None], self.columns()]

    def unread(self, array: np.ndarray) -> np.ndarray:
        """Return the inverse of `read`; a longitude that the file repeats has its values twice."""
        east = _east(self.longitude)
        apart = np.abs(east[:, None] - east[self.columns()])
        column = np.argmin(np.minimum(apart, 360.0 - apart), axis=1)
        return array[..., np.argsort(self.rows(), kind='stable')[:, None], column]

    def is_whole(self) -> bool:
        """Tell whether the samples are those of `whole`."""
        found = self.ordered()
        if len(found.latitude) < 2:
            return False
        wanted = whole(len(found.latitude), len(found.longitude))
        return all(np.abs(mine - its).max() < EXACT for mine, its in zip(found, wanted, strict=True))

    def coords(self) -> np.ndarray:
        """Return the samples in the order of `ordered`, ``[H, w, 3]`` float32 on the unit sphere."""
        return coordinates.on_sphere(*np.meshgrid(*self.ordered(), indexing='ij'))

    def resized(self, height: int, width: int) -> 'Globe':
        """Return axes of another resolution over the same part of the sphere."""
        found = self.ordered()
        return whole(height, width) if self.is_whole() else Globe(*map(_between, found, (height, width)))


def whole(height: int, width: int) -> Globe:
    """Return the axes of the layout ``'sphere'``, see `hyperinr.coordinates.grid`."""
    return Globe(np.linspace(90.0, -90.0, height), np.arange(width) * (360.0 / width))


def _east(longitude: np.ndarray) -> np.ndarray:
    """Return longitudes in [0, 360)."""
    east = np.mod(np.asarray(longitude, np.float64), 360.0)
    return np.where(360.0 - east < EXACT, 0.0, east)


def _between(axis: np.ndarray, count: int) -> np.ndarray:
    """Return the pixel centres of ``count`` samples over the same part of an axis."""
    return np.interp((np.arange(count) + 0.5) * (len(axis) / count) - 0.5, np.arange(len(axis)), axis)
