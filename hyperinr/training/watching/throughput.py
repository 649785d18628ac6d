"""What the machine can do at best, for the arithmetic of training to be compared with."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ['matrix_product_gflops']


def matrix_product_gflops(devices: Sequence[jax.Device], *, size: int = 2048, repetitions: int = 5) -> float:
    """Measure what large float32 matrix products reach on all devices at once, in GFLOP/s: a ceiling for any network.

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
