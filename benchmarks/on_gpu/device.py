"""The device: facts, peak speeds, and timing of a call."""

import contextlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ['PRECISIONS', 'facts', 'on_gpu', 'peak_memory_gib', 'peaks', 'products', 'seconds_of', 'speed']

PRECISIONS = ('float32', 'tf32', 'bfloat16')
"""``tf32`` is jax's default on a GPU; on a CPU it is float32."""


def on_gpu() -> bool:
    return jax.default_backend() == 'gpu'


def facts() -> dict[str, Any]:
    """Return device and versions."""
    device = jax.devices()[0]
    return {
        'device': device.device_kind,
        'platform': device.platform,
        'jax': jax.__version__,
        'python': platform.python_version(),
        'default_precision': 'tf32' if on_gpu() else 'float32',
    }


def products(precision: str) -> contextlib.AbstractContextManager:
    """Return a context in which jax traces float32 matrix products at this precision; the caller casts to bfloat16."""
    return jax.default_matmul_precision('highest' if precision == 'float32' else 'default')


def seconds_of(call: Callable[[], Any], *, repetitions: int = 3) -> float:
    """Return the median seconds of ``call``, which returns when its work is done."""
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peaks(*, tiny: bool) -> dict[str, float]:
    """Return the TFLOP/s of large matrix products of random numbers at each precision, the best of several series."""
    size, products_of_series = (512, 4) if tiny else (8192, 10)
    rng, found = np.random.default_rng(0), {}
    pair = rng.standard_normal((2, size, size), dtype=np.float32)
    for precision in PRECISIONS:
        a, b = jnp.asarray(pair, jnp.bfloat16 if precision == 'bfloat16' else jnp.float32)
        with products(precision):
            multiply = jax.jit(jnp.dot).lower(a, b).compile()

        def series(a: jax.Array = a, b: jax.Array = b, multiply: Any = multiply) -> None:
            jax.block_until_ready([multiply(a, b) for _ in range(products_of_series)])

        series()
        best = min(seconds_of(series, repetitions=1) for _ in range(3 if tiny else 5))
        found[precision] = 2 * size**3 * products_of_series / best / 1e12
    return found


def speed(flops: float, seconds: float, precision: str, ceilings: dict[str, float]) -> dict[str, float]:
    """Return TFLOP/s, also as a share of the measured peak of this precision."""
    tflops = flops / seconds / 1e12
    return {'seconds': seconds, 'tflops': tflops, 'share_of_peak': tflops / ceilings[precision]}


def peak_memory_gib() -> float | None:
    """Return the peak memory of jax on the device in this process; ``None`` if the device does not report it."""
    stats = jax.devices()[0].memory_stats() or {}
    found = stats.get('peak_bytes_in_use')
    return None if found is None else found / 2**30
