"""Time spent on training alone, and the arithmetic it does against what the machine can do."""

import time

import jax
import jax.numpy as jnp

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

    def pause(self) -> float:
        """Stops; returns the seconds since `start`, 0 if it was paused already."""
        if self._since is None:
            return 0.0
        elapsed = time.perf_counter() - self._since
        self.total += elapsed
        self._since = None
        return elapsed


def matrix_product_gflops(*, size: int = 2048, seconds: float = 0.5) -> float:
    """What a large float32 matrix product reaches on the default device, in GFLOP/s: a ceiling for any network.

    Args:
      size: rows and columns.
      seconds: to measure for.
    """
    multiply = jax.jit(jnp.dot)
    a = jnp.ones((size, size), jnp.float32)
    jax.block_until_ready(multiply(a, a))
    best, begin = float('inf'), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        jax.block_until_ready(multiply(a, a))
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9
