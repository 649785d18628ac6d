"""Measure INRs per second to a fixed PSNR, from meta-learned starts and by usual code from a random start.

``python -m benchmarks.fitting --run DIR`` with the run directory of ``hyperinr train experiment/mnist_5k_siren.gin``.
The first system generates weights from datapoints of the test split and fine-tunes each until it reaches the target;
all of this is timed. The second runs vmapped Adam with ``jnp.sin`` in a Python loop from one shared random start. It
does not check the PSNR. It takes as many steps as the median INR needs at its best rate, found before the timing.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

__all__ = ['compare']

TARGET_DB, MAX_STEPS = 35.0, 1000
NUM_INRS, NUM_USUAL = 256, 32
"""Number of INRs of the first and of the second system; the latter takes minutes for them."""
RATES = (1e-3, 2e-3, 4e-3)
CHECK_EVERY = 5
REPETITIONS = 3


def compare(run: str) -> dict:
    """Measure both systems, each in a process with its own threads; return their rows and the ratio."""
    from benchmarks.fitting_systems import ENVIRONMENT

    rows = []
    for name in ('hyperinr', 'usual JAX'):
        done = subprocess.run(
            [sys.executable, '-m', 'benchmarks.fitting_start', name, run],
            env={**os.environ, **ENVIRONMENT.get(name, {})},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(f'{name}, to {TARGET_DB:g} dB: {rows[-1]}')
    ratio = rows[0]['inrs_per_s'] / rows[1]['inrs_per_s']
    print(f'{ratio:.1f} times the INRs/s')
    return {'target_psnr_db': TARGET_DB, 'rows': rows, 'ratio': ratio}


def _datapoints(run: str, count: int):
    import hyperinr
    from hyperinr.config import applied
    from hyperinr.datasets.base import select
    from hyperinr.library import compose, run_config

    with applied(run_config(run)):
        dataset = compose().dataset()
    return hyperinr.load(run), select(dataset, 'test', count)[0]


def _median_seconds(call) -> float:
    call()
    seconds = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _generated(run: str) -> dict:
    from hyperinr import meta_learning

    model, datapoints = _datapoints(run, NUM_INRS)
    last = []

    def call():
        last[:] = [
            meta_learning.finetune(
                model.learner,
                model.params,
                datapoints,
                num_steps=MAX_STEPS,
                target_psnr=TARGET_DB,
                data_range=model.spec.data_range,
            )
        ]

    seconds = _median_seconds(call)
    num_inrs, steps = len(datapoints.coords), last[0].num_steps
    return {
        'system': 'hyperinr, generated start',
        'inrs': num_inrs,
        'inrs_per_s': num_inrs / seconds,
        'median_steps': float(np.median(steps)),
        'reached': float(np.mean(last[0].status == 1)),
    }


def _usual(run: str) -> dict:
    import jax
    import jax.numpy as jnp
    import optax

    model, datapoints = _datapoints(run, NUM_USUAL)
    metadata, spec = model.inr.metadata, model.spec
    values, coords = jnp.asarray(datapoints.values), jnp.asarray(datapoints.coords[0])
    threshold = (spec.data_range[1] - spec.data_range[0]) ** 2 * 10 ** (-TARGET_DB / 10)
    start = model.inr.init(jax.random.key(0), spec.coord_dims)
    start = [start[f'layer_{number}'] for number in range(metadata['depth'] + 1)]
    omegas = [metadata['omega_0']] + [metadata['hidden_omega_0']] * (metadata['depth'] - 1)

    def loss(layers, values):
        hidden = coords
        for layer, omega in zip(layers[:-1], omegas, strict=True):
            hidden = jnp.sin(omega * (hidden @ layer['w'] + layer['b']))
        return jnp.mean((hidden @ layers[-1]['w'] + layers[-1]['b'] - values) ** 2)

    def fit(step, optimizer, num_steps, check):
        layers = jax.tree.map(lambda leaf: jnp.tile(leaf, (len(values), *[1] * leaf.ndim)), start)
        state = jax.vmap(optimizer.init)(layers)
        for number in range(1, num_steps + 1):
            layers, state, error = step(layers, state, values)
            if check and number % CHECK_EVERY == 0 and float(jnp.median(error)) <= threshold:
                return number
        jax.block_until_ready(layers)
        return num_steps

    def step_of(optimizer):
        def one(layers, state, values):
            error, gradient = jax.value_and_grad(loss)(layers, values)
            updates, state = optimizer.update(gradient, state, layers)
            return optax.apply_updates(layers, updates), state, error

        return jax.jit(jax.vmap(one))

    tried = {}
    for rate in RATES:
        optimizer = optax.adam(rate)
        step = step_of(optimizer)
        tried[rate] = fit(step, optimizer, MAX_STEPS, check=True), step, optimizer
    rate = min(tried, key=lambda rate: tried[rate][0])
    steps, step, optimizer = tried[rate]
    seconds = _median_seconds(lambda: fit(step, optimizer, steps, check=False))
    return {
        'system': 'usual JAX, random start',
        'inrs': len(values),
        'inrs_per_s': len(values) / seconds,
        'median_steps': steps,
        'learning_rate': rate,
        'reached': 0.5 if steps < MAX_STEPS else 0.0,
    }


if __name__ == '__main__':
    print(json.dumps({'hyperinr': _generated, 'usual JAX': _usual}[sys.argv[1]](sys.argv[2])))
