"""Compare one meta-gradient with a large matrix product and with the plain formulation, in one process.

``python -m benchmarks.meta_training [--json FILE]`` gives medians of interleaved repetitions. FLOPs count only the
matrix products of the INRs, by `MetaLearner.flops`: 3 forward passes for the outer gradient and 9 for the derivative of
an inner step.
"""

import argparse
import os

# One thread for each CPU device, as in `hyperinr train`.
os.environ.setdefault('NPROC', '1')
os.environ.setdefault('XLA_FLAGS', f'--xla_force_host_platform_device_count={os.cpu_count()}')

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import coordinates, encoders, hypernetworks, inrs, meta_learning
from hyperinr.runtime import sharding
from hyperinr.training import devices as devices_lib
from hyperinr.training.watching.throughput import matrix_product_gflops
from hyperinr.types import Datapoint, DatasetSpec, Inr

SPEC = DatasetSpec('noise', (32, 32), 1024, 2, 3, (0.0, 1.0))
WIDTH, DEPTH, NUM_STEPS = 64, 3, 3


def plain_siren() -> Inr:
    """Make a SIREN as usually written: points first, with ``jnp.sin``."""
    reference = inrs.siren(channels=3, width=WIDTH, depth=DEPTH)

    def apply(weights, coords):
        hidden = coords
        for layer in range(DEPTH):
            parameters = weights[f'layer_{layer}']
            hidden = jnp.sin(30.0 * (hidden @ parameters['w'] + parameters['b'][None]))
        return hidden @ weights[f'layer_{DEPTH}']['w'] + weights[f'layer_{DEPTH}']['b'][None]

    return reference._replace(apply=apply)


def update_of(inr: Inr, *, batch: Datapoint, group_size: int | None, count: int) -> tuple[Callable[[], object], float]:
    """Return a function that runs one update to its end, and its FLOPs."""
    hypernetwork = hypernetworks.weight_heads(
        inr=inr, encoder=encoders.constant(spec=SPEC), rates=hypernetworks.learned_rates(num_steps=NUM_STEPS)
    )
    learner = meta_learning.meta_learner(
        hypernetwork=hypernetwork, inr=inr, optimizer=optax.sgd(1e-4), num_steps=NUM_STEPS, group_size=group_size
    )
    state = learner.init(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], batch))
    devices = jax.local_devices()[:count]
    step = devices_lib.compile_update(learner, state, batch, devices)
    placed, sharded = jax.device_put(devices_lib.pack(state), devices[0]), sharding.shard(batch, devices)
    return lambda: jax.block_until_ready(step.call(placed, sharded)), learner.flops(batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path, help='also write the rows here')
    parser.add_argument('--repetitions', type=int, default=5)
    parser.add_argument('--batch-size', type=int, default=64)
    options = parser.parse_args()
    size, rng = options.batch_size, np.random.default_rng(0)
    batch = Datapoint(
        np.tile(coordinates.grid(SPEC.grid_shape), (size, 1, 1)),
        rng.uniform(size=(size, SPEC.num_points, 3)).astype(np.float32),
        np.ones((size, SPEC.num_points), np.float32),
        np.arange(size, dtype=np.int32),
    )
    devices = len(jax.local_devices())
    systems = {
        'hyperinr': update_of(inrs.siren(channels=3), batch=batch, group_size=None, count=devices),
        'hyperinr, one device': update_of(inrs.siren(channels=3), batch=batch, group_size=None, count=1),
        'vmap + jnp.sin, one device': update_of(plain_siren(), batch=batch, group_size=size, count=1),
    }
    for call, _ in systems.values():
        call()
    ceilings, seconds = [], {name: [] for name in systems}
    for _ in range(options.repetitions):
        ceilings.append(matrix_product_gflops(jax.local_devices()))
        for name, (call, _) in systems.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    ceiling = statistics.median(ceilings)
    rows = []
    for name, (_, flops) in systems.items():
        median = statistics.median(seconds[name])
        gflops = flops / median / 1e9
        rows.append({'system': name, 'seconds': median, 'gflops': gflops, 'fraction': gflops / ceiling})
        print(f'{name:28s} {1e3 * median:8.1f} ms  {gflops:6.1f} GFLOP/s  {gflops / ceiling:5.0%} of the ceiling')
    print(f'{"matrix product (ceiling)":28s} {"":11s}  {ceiling:6.1f} GFLOP/s')
    if options.json:
        machine = {'devices': devices, 'platform': jax.default_backend(), 'jax': jax.__version__}
        options.json.write_text(json.dumps({'machine': machine, 'ceiling_gflops': ceiling, 'rows': rows}, indent=2))


if __name__ == '__main__':
    main()
