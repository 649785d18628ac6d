"""Measure the peak arithmetic rate of the machine, to compare the rate of training with it."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ['matrix_product_gflops']


def matrix_product_gflops(devices: Sequence[jax.Device], *, size: int = 2048, repetitions: int = 5) -> float:
    """Measure large float32 matrix products on all devices at once, in GFLOP/s: an upper bound for any network.

    Args:
      devices: each device multiplies its own pair of matrices.
      size: number of rows and of columns.
      repetitions: number of measurements; the fastest counts.
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
