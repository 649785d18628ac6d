"""Time spent on training alone, and the arithmetic it does against what the machine can do."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ['Stopwatch', 'matrix_product_gflops']


class Stopwatch:
    """Seconds of training, without the pauses for validation and saving.

    Args:
      seconds: of earlier sessions of the run.
    """

    def __init__(self, seconds: float = 0.0):
        self.total = seconds
        self._since: float | None = None

    def start(self) -> None:
        """Begins, or goes on after a pause."""
        if self._since is None:
            self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self.total + (0.0 if self._since is None else time.perf_counter() - self._since)

    def pause(self) -> float:
        """Stops; returns the seconds since `start`, 0 if it was paused already."""
        if self._since is None:
            return 0.0
        elapsed = time.perf_counter() - self._since
        self.total += elapsed
        self._since = None
        return elapsed


def matrix_product_gflops(devices: Sequence[jax.Device], *, size: int = 2048, repetitions: int = 5) -> float:
    """What large float32 matrix products reach on all devices at once, in GFLOP/s: a ceiling for any network.

    Args:
      devices: each multiplies its own pair.
      size: rows and columns.
      repetitions: the fastest counts.
    """
    multiply = jax.pmap(jnp.dot, devices=devices)
    a = np.ones((len(devices), size, size), np.float32)
    a = jax.block_until_ready(multiply(a, a))
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        jax.block_until_ready(multiply(a, a))
        times.append(time.perf_counter() - start)
    return len(devices) * 2 * size**3 / max(min(times), 1e-9) / 1e9
