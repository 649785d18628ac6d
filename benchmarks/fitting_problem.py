"""The problem of every system of `benchmarks.fitting`: the same grid, targets, start and steps. NumPy only.

Letters: ``B`` INRs, ``N`` points, ``D = 2`` coordinate dimensions, ``C = 1`` channel, ``L`` layers of ``W`` units.
"""

import dataclasses
import functools
import math

import numpy as np

__all__ = ['CHANNELS', 'OMEGA', 'Cell', 'grid', 'psnr_db', 'shared_start', 'targets']

CHANNELS, COORD_DIMS, OMEGA = 1, 2, 30.0


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of the table for each system.

    Attributes:
      width: W.
      depth: L.
      points: N, a square number.
      inrs: B.
      steps: number of steps of Adam at `learning_rate`.
    """

    width: int
    depth: int
    points: int
    inrs: int
    steps: int

    @property
    def learning_rate(self) -> float:
        """Learning rate ``min(1e-3, 0.1 / W, 3e-3 / L)``: 1e-3 up to width 100 and depth 3, less for larger ones.

        At 1e-3 a SIREN of width 256 jumps so much at the end of its fit that rounding alone changes its PSNR by 3 dB.
        """
        return min(1e-3, 0.1 / self.width, 3e-3 / self.depth)

    @property
    def flops(self) -> float:
        """FLOPs of the matrix products of all steps: ``2 N (2 D W + 3 (L - 1) W^2 + 3 W C)`` for one step of one INR.

        The products are the forward pass, the gradient of the weights and the gradient of the activations (without that
        of the coordinates).
        """
        width = self.width
        each = 2 * COORD_DIMS * width + 3 * (self.depth - 1) * width**2 + 3 * width * CHANNELS
        return 2.0 * self.points * each * self.inrs * self.steps


def grid(points: int) -> np.ndarray:
    """Return pixel centres ``[N, 2]`` in [-1, 1]."""
    side = math.isqrt(points)
    centres = ((2 * np.arange(side) + 1) / side - 1).astype(np.float32)
    return np.stack(np.meshgrid(centres, centres, indexing='ij'), axis=-1).reshape(-1, 2)


def targets(cell: Cell) -> np.ndarray:
    """Return read-only targets ``[B, N, 1]`` in [0, 1]: a different sum of a few plane waves for each INR."""
    return _targets(cell.points, cell.inrs)


@functools.lru_cache(maxsize=1)
def _targets(points: int, inrs: int) -> np.ndarray:
    """Compute the targets; the result is cached for the next system, since 20,000 INRs take seconds."""
    rng, coords = np.random.default_rng(0), grid(points)
    waves = rng.normal(size=(inrs, 2, 6)).astype(np.float32) * 4
    phases = rng.uniform(0, 2 * np.pi, (inrs, 1, 6)).astype(np.float32)
    return (0.5 + np.cos(coords @ waves + phases).mean(axis=-1, keepdims=True) / 2).astype(np.float32)


def shared_start(cell: Cell) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ``(w [in, out], b [out])`` of every layer for all INRs, distributed as in `hyperinr.inrs.siren`."""
    rng = np.random.default_rng(1)
    sizes = [COORD_DIMS, *[cell.width] * cell.depth, CHANNELS]
    layers = []
    for number, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        bound = math.sqrt(6 / fan_in) / OMEGA if number else 1 / fan_in
        w = rng.uniform(-bound, bound, (fan_in, fan_out))
        b = rng.uniform(-1, 1, fan_out) / math.sqrt(fan_in) + 0.5 * (number == cell.depth)
        layers.append((w.astype(np.float32), b.astype(np.float32)))
    return layers


def psnr_db(mse: np.ndarray) -> float:
    """Return the mean over INRs of the PSNR for the data range [0, 1]; ``[B] -> []``."""
    return float(np.mean(-10 * np.log10(np.maximum(mse, 1e-12))))
