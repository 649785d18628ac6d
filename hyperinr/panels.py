"""Draw the values of a signal as pixels, whatever its kind, in NumPy alone.

A *plane* arranges values on two axes and leaves them values: slices of a volume side by side, frames of a video. A
*panel* is RGB. To draw another kind: a `Drawing` in `DRAWINGS`.

Letters: ``*grid`` sizes of a signal's axes, ``C`` channels, ``H``, ``W`` pixels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hyperinr import coordinates
from hyperinr.errors import InputError
from hyperinr.kinds.solids import level_of
from hyperinr.metrics.sounds import FLOOR_DB, spectra_db
from hyperinr.types import DatasetSpec

__all__ = ['DRAWINGS', 'Drawing', 'error_panel', 'mosaic', 'panel', 'plane', 'to_rgb']

MOST_FRAMES, MOST_CHANNELS = 8, 4
"""Frames of a video, and channels that are no colours, of which a panel shows so many."""
WIDTH, HEIGHT = 256, 64
"""Pixels of a waveform; a spectrogram has as many."""
INK, SOLID = (0.12, 0.3, 0.6), (0.55, 0.7, 0.95)
LIGHT = (-0.45, -0.55, 0.7)
"""Direction to the light from a surface that is drawn: left, up, and towards the eye."""


class Drawing(NamedTuple):
    """How a kind of signal looks.

    Attributes:
      num_axes: axes of its grids; a grid of another number is drawn as one without a kind.
      plane: ``values [*grid, C] -> [H, W, C]``; NaN where there is nothing.
      panel: ``(values [*grid, C], spec) -> [H, W, 3]`` in [0, 1]; ``None``: the plane in colours.
    """

    num_axes: int
    plane: Callable[[np.ndarray], np.ndarray]
    panel: Callable[[np.ndarray, DatasetSpec], np.ndarray] | None = None


def panel(values: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Draw values of a grid.

    | data | panel |
    |---|---|
    | images | themselves; 2 channels, or 4 and more, side by side in grey, as they are no colours |
    | images of 4 channels | red, green and blue over white, as the fourth tells |
    | sounds | waveform of each channel, and the spectrogram of their mean: low frequencies below, 80 dB from white |
    | other grids of one axis | waveform |
    | volumes, other grids of three axes | slices through the middle, across axis 0, 1 and 2 |
    | video | frames at equal distances in time |
    | fields on the sphere | a map: north up, longitude 0 in the middle |
    | occupancy, signed distance | the surface, seen along axis 1, axis 0 to the right, axis 2 up |
    | more axes | the middle of the first ones |

    Args:
      values: ``[*grid, C]``, of any grid with as many axes as the dataset's; what lies outside the range is clipped,
        and NaN is drawn as nothing.
      spec: states kind, layout and range.

    Returns:
      ``[H, W, 3]`` in [0, 1].
    """
    values = np.clip(np.asarray(values, np.float32), *spec.data_range)
    drawing = _drawing(spec, values)
    return _coloured(drawing.plane(values), spec) if drawing.panel is None else drawing.panel(values, spec)


def plane(values: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Arrange values, or errors, of a grid on two axes, ``[*grid, C] -> [H, W, C]``; NaN where there is nothing.

    Solids are arranged as volumes. One axis becomes a stripe of at most `WIDTH` means.
    """
    values = np.asarray(values, np.float32)
    return _drawing(spec, values).plane(values)


def error_panel(values: np.ndarray, original: np.ndarray, spec: DatasetSpec, *, gain: float = 1.0) -> np.ndarray:
    """Draw the absolute error of values ``[*grid, C]`` clipped to the range, as `plane` arranges it.

    Args:
      values, original: ``[*grid, C]``; of images of three channels the error has colours, else it is their mean.
      spec: as in `panel`.
      gain: an error of ``1 / gain`` of the range's width is white.

    Returns:
      ``[H, W, 3]`` in [0, 1].
    """
    error = np.abs(_unit(values, spec.data_range) - _unit(original, spec.data_range))
    return np.nan_to_num(to_rgb(gain * plane(error, spec), (0.0, 1.0)), nan=1.0)


def to_rgb(values: np.ndarray, data_range: tuple[float, float]) -> np.ndarray:
    """Turn values ``[..., C]`` into RGB ``[..., 3]`` in [0, 1], clipped; unless C is 3, grey by the channels' mean."""
    unit = _unit(values, data_range)
    return unit if unit.shape[-1] == 3 else np.repeat(unit.mean(axis=-1, keepdims=True), 3, axis=-1)


def mosaic(rows: Sequence[Sequence[np.ndarray]], *, enlarge: int = 1, gap: int = 0) -> np.ndarray:
    """Lay out panels ``[H, W, 3]`` in [0, 1], of any sizes, as one picture ``[height, width, 3]`` on white.

    Args:
      rows: rows of equally many panels.
      enlarge: side in pixels of the square that shows one pixel of a panel.
      gap: white pixels between two panels.
    """
    rows = [[each.repeat(enlarge, axis=0).repeat(enlarge, axis=1) for each in row] for row in rows]
    columns = list(zip(*rows, strict=True))
    widths = [max(each.shape[1] for each in column) for column in columns]
    lines = []
    for row in rows:
        height = max(each.shape[0] for each in row)
        lines.append(_joined([_padded(each, height, width) for each, width in zip(row, widths, strict=True)], gap, 1))
    return _joined(lines, gap, 0)


def _unit(values: np.ndarray, data_range: tuple[float, float]) -> np.ndarray:
    low, high = data_range
    return np.clip((np.asarray(values) - low) / (high - low), 0, 1)


def _padded(pixels: np.ndarray, height: int, width: int, fill: float = 1.0) -> np.ndarray:
    missing = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
    return np.pad(pixels, missing, constant_values=fill)


def _joined(parts: Sequence[np.ndarray], gap: int, axis: int, fill: float = 1.0) -> np.ndarray:
    """Concatenate parts ``[H, W, C]`` along an axis, with a gap between them."""
    after = [(0, 0)] * 3
    after[axis] = (0, gap)
    framed = [np.pad(part, after, constant_values=fill) for part in parts[:-1]]
    return np.concatenate([*framed, parts[-1]], axis=axis)


def _coloured(pixels: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Return a plane ``[H, W, C]`` in colours; NaN is white."""
    unit, channels = _unit(pixels, spec.data_range), pixels.shape[-1]
    if channels == 4 and spec.kind == 'image':
        unit = unit[..., :3] * unit[..., 3:] + 1 - unit[..., 3:]
    elif channels not in (1, 3):
        shown = [unit[..., [channel]] for channel in range(min(channels, MOST_CHANNELS))]
        unit = _joined(shown, 1, 1)
    return np.nan_to_num(to_rgb(unit, (0.0, 1.0)), nan=1.0)


def _stripe(values: np.ndarray) -> np.ndarray:
    count = len(values)
    width = min(count, WIDTH)
    starts = np.arange(width) * count // width
    means = np.add.reduceat(values, starts, axis=0) / np.diff([*starts, count])[:, None]
    return np.repeat(means[None], max(1, width // 8), axis=0)


def _slices(values: np.ndarray) -> np.ndarray:
    while values.ndim > 4:
        values = values[len(values) // 2]
    cuts = [np.take(values, values.shape[axis] // 2, axis=axis) for axis in range(3)]
    height = max(cut.shape[0] for cut in cuts)
    return _joined([_padded(cut, height, cut.shape[1], np.nan) for cut in cuts], 1, 1, np.nan)


def _frames(values: np.ndarray) -> np.ndarray:
    rows = np.linspace(0, len(values) - 1, min(len(values), MOST_FRAMES)).round().astype(int)
    return _joined([values[row] for row in rows], 1, 1, np.nan)


def _map(values: np.ndarray) -> np.ndarray:
    return np.roll(values, values.shape[1] // 2, axis=1)


def _waveform(values: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    unit = np.nan_to_num(_unit(values, spec.data_range), nan=0.5)
    if len(unit) < WIDTH:
        at = np.linspace(0, len(unit) - 1, 8 * WIDTH)
        unit = np.stack([np.interp(at, np.arange(len(unit)), channel) for channel in unit.T], axis=-1)
    starts = np.arange(WIDTH) * len(unit) // WIDTH
    low, high = (bound.reduceat(unit, starts, axis=0)[None] for bound in (np.minimum, np.maximum))
    # Each column also reaches to the next one.
    after = np.minimum(np.arange(WIDTH) + 1, WIDTH - 1)
    low, high = np.minimum(low, high[:, after]), np.maximum(high, low[:, after])
    levels = 1 - (np.arange(HEIGHT)[:, None, None] + 0.5) / HEIGHT
    distance = np.abs(levels - np.clip(levels, low, high))  # [HEIGHT, WIDTH, C]
    shown = range(min(unit.shape[-1], MOST_CHANNELS))
    strips = [np.where(distance[..., [channel]] <= 1 / HEIGHT, INK, 1.0) for channel in shown]
    return np.concatenate(strips).astype(np.float32)


def _sound(values: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    waveform, count = _waveform(values, spec), len(values)
    frame = min(512, 2 ** round(np.log2(2 * count) / 2))  # Of about as many frequencies as there are frames.
    if frame < 16:
        return waveform
    mono = np.nan_to_num(values.mean(axis=-1))
    levels = spectra_db(mono, spec.data_range, frame, max(1, (count - frame) // (WIDTH - 1))).T[::-1]
    rows, columns = (np.arange(size) * each // size for size, each in zip((HEIGHT, WIDTH), levels.shape, strict=True))
    grey = np.clip(levels[rows][:, columns] / FLOOR_DB, 0, 1)
    return np.concatenate([waveform, np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)])


def _solid(values: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    level = level_of(spec)
    within = (values[..., 0] - level.value) * (1 if level.inside_is_high else -1)
    seen = np.nan_to_num(within, nan=-1.0).transpose(2, 0, 1)[::-1]  # [up, right, away from the eye]
    inside = seen > 0
    first, hit = inside.argmax(axis=-1), inside.max(axis=-1)
    here, before = (np.take_along_axis(seen, np.maximum(first - back, 0)[..., None], -1)[..., 0] for back in (0, 1))
    share = np.where(first > 0, here / np.maximum(here - before, 1e-9), 0)
    depth = np.where(hit, first - share, np.nan)
    framed = np.pad(depth, 1, mode='edge')
    slopes = [np.nan_to_num(np.gradient(framed, axis=axis)[1:-1, 1:-1]) for axis in (1, 0)]
    cosine = (slopes[0] * LIGHT[0] + slopes[1] * LIGHT[1] + LIGHT[2]) / np.sqrt(1 + slopes[0] ** 2 + slopes[1] ** 2)
    shade = 0.25 + 0.75 * np.clip(cosine, 0, 1)
    return np.where(hit[..., None], shade[..., None] * SOLID, 1.0).astype(np.float32)


_MAP = Drawing(2, _map)
_SOLID = Drawing(3, _slices, _solid)
DRAWINGS = {
    'sound': Drawing(1, _stripe, _sound),
    'video': Drawing(3, _frames),
    'field': _MAP,
    'occupancy': _SOLID,
    'signed_distance': _SOLID,
}
"""Kind -> its drawing; any other is drawn by the number of its axes."""
_BY_AXES = {1: Drawing(1, _stripe, _waveform), 2: Drawing(2, lambda values: values), 3: Drawing(3, _slices)}


def _drawing(spec: DatasetSpec, values: np.ndarray) -> Drawing:
    num_axes = values.ndim - 1
    if spec.grid_shape is None or num_axes != len(spec.grid_shape):
        raise InputError(f'values {values.shape} do not lie on a grid of {spec.name!r}: {spec.grid_shape}.')
    if spec.layout == coordinates.SPHERE:
        return _MAP
    found = DRAWINGS.get(spec.kind or '')
    return found if found is not None and found.num_axes == num_axes else _BY_AXES[min(num_axes, 3)]
