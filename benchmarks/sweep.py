"""Compare several trials in one program with one trial, and with as many trials in sequence, in one process.

``python -m benchmarks.sweep [--json FILE]`` measures a training step of several trials that differ in the outer
learning rate and run as one program, vmapped over their states (`hyperinr.searching.vmapped`). Figures are medians of
interleaved repetitions on one device, without reading of data. Compilation is reported separately: it happens once for
one program, and once for every trial that runs alone.
"""

import argparse
import os

# One device with one thread, as each device of `hyperinr train` has.
os.environ.setdefault('NPROC', '1')
os.environ.setdefault('XLA_FLAGS', '--xla_force_host_platform_device_count=1')

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from hyperinr import coordinates, encoders, hypernetworks, inrs, meta_learning
from hyperinr.searching.vmapped import numbers_in_state
from hyperinr.types import Datapoint, DatasetSpec, MetaLearner

SIZES = {
    'small': {'width': 16, 'depth': 2, 'side': 16, 'embedding_dims': 32, 'base_channels': 8, 'trunk': (32,)},
    'medium': {'width': 32, 'depth': 3, 'side': 24, 'embedding_dims': 64, 'base_channels': 16, 'trunk': (128,)},
}


def learner_of(spec: DatasetSpec, size: dict) -> MetaLearner:
    """Return the learner of all trials, whose optimiser keeps its learning rate in the state."""
    inr = inrs.siren(channels=3, width=size['width'], depth=size['depth'])
    encoder = encoders.convolutional(
        spec=spec, embedding_dims=size['embedding_dims'], base_channels=size['base_channels'], num_stages=2
    )
    rates = hypernetworks.learned_rates(num_steps=2)
    hypernetwork = hypernetworks.weight_heads(inr=inr, encoder=encoder, trunk=size['trunk'], rates=rates)
    optimizer = numbers_in_state(meta_learning.adam_cosine, {'learning_rate': 1e-4})(num_steps=1000)
    return meta_learning.meta_learner(hypernetwork=hypernetwork, inr=inr, optimizer=optimizer, num_steps=2)


def compiled(function: Callable, *arguments: object) -> tuple[Callable[[], object], float]:
    """Return a function that runs to its end, and the seconds of tracing and compiling."""
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return lambda: jax.block_until_ready(program(*arguments)), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path, help='also write the figures here')
    parser.add_argument('--repetitions', type=int, default=9)
    parser.add_argument('--trials', type=int, default=8)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--size', choices=SIZES, default='small')
    options = parser.parse_args()
    size, count, batch_size = SIZES[options.size], options.trials, options.batch_size
    shape = (size['side'], size['side'])
    spec = DatasetSpec('noise', shape, size['side'] ** 2, 2, 3, (0.0, 1.0))
    batch = Datapoint(
        np.tile(coordinates.grid(shape), (batch_size, 1, 1)),
        np.random.default_rng(0).uniform(size=(batch_size, spec.num_points, 3)).astype(np.float32),
        np.ones((batch_size, spec.num_points), np.float32),
        np.arange(batch_size, dtype=np.int32),
    )
    first = jax.tree.map(lambda leaf: leaf[0], batch)
    learner = learner_of(spec, size)
    state = jax.jit(learner.init)(jax.random.key(0), first)
    states = jax.tree.map(lambda leaf: jax.numpy.stack([leaf] * count), state)
    rates = {'values': 1e-4 * jax.numpy.arange(1.0, count + 1)[:, None]}
    states = states._replace(opt_state=states.opt_state._replace(hyperparams=rates))

    def update(state: object, batch: Datapoint) -> object:
        return learner.update(state, batch, batch)

    one, seconds_of_one = compiled(update, state, batch)
    together, seconds_together = compiled(jax.vmap(update, (0, None)), states, batch)
    calls = {'one': one, 'together': together, 'one after the other': lambda: [one() for _ in range(count)]}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(options.repetitions):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    figures = {
        'size': options.size,
        'trials': count,
        'batch_size': batch_size,
        'step_milliseconds': {name: 1e3 * value for name, value in median.items()},
        'step_together_over_one': median['together'] / median['one'],
        'step_together_over_one_after_the_other': median['together'] / median['one after the other'],
        'build_seconds': {'one': seconds_of_one, 'together': seconds_together},
        'build_together_over_one': seconds_together / seconds_of_one,
        'jax': jax.__version__,
        'platform': jax.default_backend(),
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
