"""Solids: which data are some, and the level that separates their values inside from those outside."""

from typing import NamedTuple

from hyperinr.types import Array, DatasetSpec

__all__ = ['SOLIDS', 'Level', 'is_solid', 'level_of']


class Level(NamedTuple):
    """The level that separates values inside a solid from values outside.

    Attributes:
      value: the value at the surface.
      inside_is_high: whether values inside are above it.
    """

    value: float
    inside_is_high: bool

    def inside(self, values: Array) -> Array:
        """Tell which values are inside, ``[..., M, C] -> [..., M]`` bool, by the first channel."""
        return values[..., 0] > self.value if self.inside_is_high else values[..., 0] < self.value


SOLIDS = {'occupancy': Level(0.5, True), 'signed_distance': Level(0.0, False)}
"""Kind -> level. An occupancy is 1 inside and 0 outside, a signed distance negative inside."""


def is_solid(spec: DatasetSpec) -> bool:
    """Tell whether the data are solids. Stores and runs of older versions state no kind; there scattered points are."""
    if spec.kind is None:
        return spec.grid_shape is None and spec.coord_dims == 3 and spec.channels == 1
    return spec.kind in SOLIDS


def level_of(spec: DatasetSpec) -> Level:
    """Return the level of solids. Without a kind, a range that reaches below 0 is that of a signed distance."""
    by_range = 'signed_distance' if spec.data_range[0] < 0 else 'occupancy'
    return SOLIDS.get(spec.kind or '', SOLIDS[by_range])
