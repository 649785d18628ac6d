"""What a fit of one file leaves open is chosen from the size of its signal: the INR, the points of a step, the steps.

The numbers are measured on real files (docs/decisions.md, "A large fit is sized by its file").
"""

import math
from typing import NamedTuple

from hyperinr.kinds import Signal

__all__ = ['Points', 'SirenSize', 'points_of_step', 'siren_size', 'steps_of_fit']

WIDTHS = (64, 2**14), (128, 2**17), (256, math.inf)
"""Units of a hidden layer, and the most samples that they are for."""
SOUND_OMEGA, GRID_OMEGA, SMALL_OMEGA = 15.0, 40.0, 30.0
"""omega_0 of one axis, over the root of its samples; of more axes, over the fourth root of the longest by 128; of small
grids."""
FULL_POINTS = 2**14
"""Most points that each step sees all of: 128 x 128. It is fixed, because the same command shall give the same weights
on any machine."""
DRAWN_POINTS = 2**13
"""Points that a step draws of more. Fewer leave the cores waiting for the host, more take fewer steps in the time."""
LEAST_MEASURED = 2**14
"""Least number of points that the error of such a fit is measured on: enough for a tenth of a dB."""
MEASURE_EVERY = 20
"""Steps between two of these measurements."""
FULL_STEPS, DRAWN_STEPS = 500, 5000
"""Steps of a fit that sees all points in each, and of one that draws them."""


class SirenSize(NamedTuple):
    """Arguments of `hyperinr.inrs.siren`, in the order in which they are said."""

    depth: int
    width: int
    omega_0: float
    hidden_omega_0: float


def siren_size(signal: Signal) -> SirenSize:
    """Choose a SIREN for a signal: its width by the number of samples, omega_0 by those along the longest axis.

    Signals of more samples hold higher frequencies, but not in proportion, because their spectra fall. Sitzmann et al.,
    "Implicit neural representations with periodic activation functions" (2020), take 30 for images of 256 and 512
    pixels and 3000 for 7 s of sound. Up to 128 x 128 samples on two axes or more, it is the SIREN of the other configs.

    Example:
      >>> import numpy as np
      >>> siren_size(Signal(np.zeros((32, 32, 3), np.float32), (0.0, 1.0)))
      SirenSize(depth=3, width=64, omega_0=30.0, hidden_omega_0=30.0)
      >>> siren_size(Signal(np.zeros((44100, 1), np.float32), (-1.0, 1.0)))
      SirenSize(depth=3, width=128, omega_0=3200.0, hidden_omega_0=30.0)
    """
    shape, dims = signal.grid_shape, signal.coord_dims
    samples = math.prod(shape)
    longest = max(shape) if dims == 1 or len(shape) > 1 else samples ** (1 / dims)  # Scattered points have one axis.
    width = next(width for width, most in WIDTHS if samples <= most)
    if dims == 1:
        omega_0 = SOUND_OMEGA * math.sqrt(longest)
    elif samples <= FULL_POINTS:
        omega_0 = SMALL_OMEGA
    else:
        omega_0 = GRID_OMEGA * (longest / 128) ** 0.25
    return SirenSize(3, width, float(f'{omega_0:.2g}'), 30.0)


class Points(NamedTuple):
    """The points of a step.

    Attributes:
      drawn: their number.
      measured: number of points that the curve is measured on.
      sees_all: whether these are all points.
      sentence: what is said of them.
      measured_on: what the curve is measured on.
    """

    drawn: int
    measured: int
    sees_all: bool
    sentence: str
    measured_on: str


def points_of_step(asked: int | None, total: int) -> Points:
    """Choose the points of a step: as many as asked for, else all of a small signal and `DRAWN_POINTS` of a large one.

    Args:
      asked: >= 1; ``None``: by the size of the signal.
      total: samples of the signal.
    """
    if asked is None:
        asked = total if total <= FULL_POINTS else DRAWN_POINTS
    if asked >= total:
        return Points(total, total, True, f'each step sees all {total} points', 'all points')
    measured = min(total, max(asked, LEAST_MEASURED))
    whole = 'all' if measured == total else f'a fixed draw of {measured} of the {total}'
    sentence = f'each step draws {asked} of the {total} points; the curve is of {whole}'
    return Points(asked, measured, False, sentence, f'{whole} points, at every {MEASURE_EVERY}th step and the last')


def steps_of_fit(asked: int | None, points: Points) -> int:
    """Return the steps of a fit: as many as asked for, else `FULL_STEPS` or `DRAWN_STEPS`."""
    return asked or (FULL_STEPS if points.sees_all else DRAWN_STEPS)
