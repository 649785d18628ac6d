"""Train by `hyperinr train` for a given time, at the end of which the learning-rate schedule ends too.

A run that is cut off ends in the middle of its cosine, and so with a worse result. Therefore a few updates are timed
first, and the schedule gets as many updates as fit. The clock, if there is one, ends only runs that other work has
slowed down.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

import hyperinr
from experiments.study import device_seconds
from hyperinr import config, library
from hyperinr.model import Model
from hyperinr.runtime import sharding
from hyperinr.training import devices as devices_lib
from hyperinr.training import loop
from hyperinr.training.input_pipeline import Batches, Positions

__all__ = ['Trained', 'train_for', 'updates_within']

SHARE = 0.95
"""Share of the time for which updates are planned."""
WARM_UPDATES = 16
"""First updates, which are not timed: on a CPU they take up to twice as long as later ones."""
TIMED_UPDATES, TIMED_SHARE = 8, 0.05
"""An update's time is the mean over at least this many updates and at least this share of the time."""


class Trained(NamedTuple):
    """A finished run.

    Attributes:
      model: model with the moving average of the parameters.
      seconds: seconds of training without compilation, validation and saving.
      updates: number of updates.
      validation: ``(seconds, PSNR after K steps)`` of every validation during training.
    """

    model: Model
    seconds: float
    updates: int
    validation: list[tuple[float, float]]


def updates_within(name: str, bindings: Sequence[str], seconds: float, *, also: Sequence[str] = ()) -> int:
    """Return how many updates of a config fit into a time on this machine, at least one.

    The time is that of `device_seconds`: other work on the machine does not count.

    Args:
      name: name of the config.
      bindings: overrides.
      seconds: seconds of training.
      also: configs read after the first; bindings of parts that they replace are then ignored.
    """
    with config.applied(_load(name, bindings, also)):
        experiment = library.compose()
        dataset = experiment.dataset()
        learner = experiment.build(dataset.spec)
    source = dataset.splits['train']
    batch = Batches(source, dataset.spec, Positions(len(source), experiment.batch_size, experiment.seed))(0)
    devices, _ = devices_lib.choose(experiment.batch_size)
    state = jax.jit(learner.init)(jax.random.key(experiment.seed), jax.tree.map(lambda leaf: leaf[0], batch))
    update = devices_lib.compile_update(learner, state, batch, devices)
    placed, shards = jax.device_put(devices_lib.pack(state), devices[0]), sharding.shard(batch, devices)
    for _ in range(WARM_UPDATES):
        placed, _ = jax.block_until_ready(update.call(placed, shards))
    began, count = device_seconds(), 0
    while count < TIMED_UPDATES or device_seconds() - began < TIMED_SHARE * seconds:
        placed, _ = jax.block_until_ready(update.call(placed, shards))
        count += 1
    return max(1, int(SHARE * seconds * count / (device_seconds() - began)))


def train_for(
    name: str,
    bindings: Sequence[str],
    run_dir: Path,
    *,
    seconds: float | None,
    updates: int,
    seed: int,
    also: Sequence[str] = (),
) -> Trained:
    """Train or continue a run.

    Args:
      name: name of the config.
      bindings: overrides.
      run_dir: run directory of `hyperinr train`.
      seconds: seconds after which training ends; ``None``: no clock.
      updates: number of updates in the schedule.
      seed: seed of the run.
      also: as for `updates_within`.

    Raises:
      InputError, RunError: as `hyperinr.training.loop.train`.
    """
    extra = [f'NUM_STEPS = {updates}', f'SEED = {seed}', 'loop.train.loggers = []']
    if seconds is not None:
        extra += ['loop.train.stop_rules = [@stop_rules.after()]', f"stop_rules.after.limit = '{seconds:g} seconds'"]
    extra += ['evaluators.held_out_psnr.num_datapoints = 16']
    resolved = _load(name, [*bindings, *extra], also)
    with config.applied(resolved):
        config.configured(loop.train)(library.compose(), run_dir, config_text=resolved.text)
    records = [json.loads(line) for line in (run_dir / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()]
    of_kind = lambda kind: [record for record in records if record['kind'] == kind]
    model = hyperinr.load(run_dir)
    return Trained(
        model=model,
        seconds=_last(of_kind('train'))['seconds'],
        updates=int(model.metadata['step']),
        validation=[(record['seconds'], record['psnr_db'][-1]) for record in of_kind('validation')],
    )


def _load(name: str, bindings: Sequence[str], also: Sequence[str]) -> config.Config:
    return config.load_config(name, bindings, also=also, allow_unused=bool(also))


def _last(records: list[dict[str, Any]]) -> dict[str, Any]:
    return max(records, key=lambda record: record['step'])
