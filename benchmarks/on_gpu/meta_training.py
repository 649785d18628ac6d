"""Measure updates of a meta-learner: 64 small images, and 8 photographs of 178 x 178 with a large SIREN.

FLOPs are those of the INRs' matrix products, by `MetaLearner.flops`. The encoder is constant, so there is little other
work.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from benchmarks.on_gpu.device import facts, peak_memory_gib, peaks, products, speed
from benchmarks.on_gpu.parts import Options
from benchmarks.on_gpu.record import Record
from hyperinr import coordinates, encoders, hypernetworks, inrs, meta_learning
from hyperinr.types import Datapoint, DatasetSpec, MetaLearner

__all__ = ['measure', 'noise_batch', 'siren_learner', 'update_speed']

NUM_STEPS = 3


class Shape(NamedTuple):
    """The size of a training.

    Attributes:
      batch_size: B.
      grid_shape: grid of the images.
      width: width of the SIREN.
      depth: number of its hidden layers.
    """

    batch_size: int
    grid_shape: tuple[int, int]
    width: int
    depth: int

    def __str__(self) -> str:
        points = self.grid_shape[0] * self.grid_shape[1]
        return f'{self.batch_size} x {points:,} points x SIREN {self.depth} x {self.width}'


SMALL, LARGE = Shape(64, (32, 32), 64, 3), Shape(8, (178, 178), 256, 5)
TINY_SMALL, TINY_LARGE = Shape(4, (8, 8), 16, 2), Shape(2, (16, 16), 16, 3)


def measure(record: Record, options: Options) -> None:
    """Measure all rows of the part."""
    small, large = (TINY_SMALL, TINY_LARGE) if options.tiny else (SMALL, LARGE)
    ceilings = peaks(tiny=options.tiny)
    record.save(**facts(), peak_tflops=ceilings)
    seconds = 0.2 if options.tiny else 5.0
    # Recomputed steps come first. They need the memory of one step, so the large shape gets a figure even if the exact
    # way does not fit.
    wanted = (
        (small, 'tf32', False),
        (large, 'tf32', True),
        (small, 'float32', False),
        (large, 'tf32', False),
        (large, 'float32', True),
    )
    for shape, precision, recomputed in wanted[:3] if options.tiny else wanted:
        record.row(
            f'{shape}, {precision}{", recomputed" if recomputed else ""}',
            lambda shape=shape, precision=precision, recomputed=recomputed: update_speed(
                shape, precision, ceilings, recomputed=recomputed, seconds=seconds
            ),
            needs=2 if options.tiny else 20,
            shapes=shape._asdict(),
            precision=precision,
            inner_steps=NUM_STEPS,
        )


def noise_batch(size: int, grid_shape: tuple[int, int]) -> Datapoint:
    """Return datapoints ``[B, ...]`` of uniform noise in three channels."""
    num_points = grid_shape[0] * grid_shape[1]
    return Datapoint(
        np.tile(coordinates.grid(grid_shape), (size, 1, 1)),
        np.random.default_rng(0).uniform(size=(size, num_points, 3)).astype(np.float32),
        np.ones((size, num_points), np.float32),
        np.arange(size, dtype=np.int32),
    )


def siren_learner(
    *, width: int, depth: int, grid_shape: tuple[int, int], group_size: int, rematerialize: bool = False
) -> MetaLearner:
    """Make Meta-SGD: a learned start and three steps with a learned rate for each weight, second order."""
    inr = inrs.siren(channels=3, width=width, depth=depth)
    spec = DatasetSpec('noise', grid_shape, grid_shape[0] * grid_shape[1], 2, 3, (0.0, 1.0))
    hypernetwork = hypernetworks.weight_heads(
        inr=inr,
        encoder=encoders.constant(spec=spec),
        rates=hypernetworks.learned_rates(shared_by='nothing', num_steps=NUM_STEPS),
    )
    return meta_learning.meta_learner(
        hypernetwork=hypernetwork,
        inr=inr,
        optimizer=optax.adam(1e-5),
        num_steps=NUM_STEPS,
        rematerialize=rematerialize,
        group_size=group_size,
    )


def update_speed(
    shape: Shape, precision: str, ceilings: dict[str, float], *, recomputed: bool, seconds: float
) -> Mapping[str, Any]:
    """Run updates for about ``seconds``, after compiling and one warm-up update, and return their speed."""
    batch = noise_batch(shape.batch_size, shape.grid_shape)
    learner = siren_learner(
        width=shape.width,
        depth=shape.depth,
        grid_shape=shape.grid_shape,
        group_size=shape.batch_size,
        rematerialize=recomputed,
    )
    state = learner.init(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], batch))
    batch = jax.device_put(batch)
    began = time.perf_counter()
    with products(precision):
        update = jax.jit(learner.update).lower(state, batch, batch).compile()
    compiled = time.perf_counter()
    state, metrics = jax.block_until_ready(update(state, batch, batch))
    one = time.perf_counter()
    state, metrics = jax.block_until_ready(update(state, batch, batch))
    number = max(2, min(1000, int(seconds / (time.perf_counter() - one))))
    start = time.perf_counter()
    for _ in range(number):
        state, metrics = update(state, batch, batch)
    jax.block_until_ready(state)
    each = (time.perf_counter() - start) / number
    return {
        'figures': {
            **speed(learner.flops(batch), each, precision, ceilings),
            'datapoints_per_s': shape.batch_size / each,
            'compile_s': compiled - began,
            'peak_memory_gib': peak_memory_gib(),
            'psnr_db': float(metrics['psnr_db']),
        },
        'updates': number,
    }
