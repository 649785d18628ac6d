"""Run the program of training for a few updates, under a schedule of that length, and measure each update.

Letters: ``B`` datapoints of a batch, ``U`` updates.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from hyperinr.runtime import sharding
from hyperinr.training import devices as devices_lib
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions
from hyperinr.training.watching.divergence import not_finite
from hyperinr.training.watching.evaluators.base import modules
from hyperinr.types import Array, Datapoint, MetaLearner, Params, TrainState

__all__ = ['Program', 'Training', 'prepare', 'train']

GRADIENT = 'gradient/'
LAST_UPDATES = 5
"""Updates whose mean PSNR is the result of a training: a single one may be an outlier."""


class Program(NamedTuple):
    """The compiled program of all short trainings.

    Attributes:
      experiment: experiment with as many steps as a short training, so that the schedule reaches its end.
      learner: its learner.
      batches: batches of the real run.
      devices: devices that share a batch.
      update: the compiled update; its metrics hold the norm of each module's gradient under ``'gradient/MODULE'``.
      fresh: the state before the first update, packed and placed.
      compile_seconds: seconds to compile the update.
    """

    experiment: Experiment
    learner: MetaLearner
    batches: Batches
    devices: list[jax.Device]
    update: devices_lib.CompiledUpdate
    fresh: TrainState
    compile_seconds: float


class Training(NamedTuple):
    """One short training.

    Attributes:
      state: state after the last update, packed, on the first device.
      metrics: name -> ``[U]``. A diverged training has fewer entries, and the last one is not finite.
      update_seconds: ``[U]`` seconds of each update.
      input_seconds: ``[U]`` seconds to make each batch.
    """

    state: TrainState
    metrics: Mapping[str, np.ndarray]
    update_seconds: np.ndarray
    input_seconds: np.ndarray

    @property
    def diverged(self) -> bool:
        """Whether the training diverged, and so ended early."""
        return bool(not_finite({name: float(values[-1]) for name, values in self.metrics.items()}))

    @property
    def score_db(self) -> float:
        """Mean training PSNR of the last updates; minus infinity if it diverged."""
        return float('-inf') if self.diverged else float(self.metrics['psnr_db'][-LAST_UPDATES:].mean())


def _with_gradient_norms(learner: MetaLearner) -> MetaLearner:
    """Return the learner with updates that also report the norm of each module's gradient."""

    def apply_gradient(state: TrainState, gradient: Params) -> tuple[TrainState, Mapping[str, Array]]:
        after, measured = learner.apply_gradient(state, gradient)
        norms = {f'{GRADIENT}{name}': optax.tree.norm(leaves) for name, leaves in modules(gradient).items()}
        return after, {**measured, **norms}

    return learner._replace(apply_gradient=apply_gradient)


def prepare(experiment: Experiment, dataset: Any) -> Program:
    """Compile the update of ``experiment``. Only the initialisation runs.

    Raises:
      InputError: training refuses the first batch.
    """
    spec, learner = dataset.spec, experiment.build(dataset.spec)
    source = dataset.splits['train']
    batches = Batches(source, spec, Positions(len(source), experiment.batch_size, experiment.seed))
    example = batches(0)
    devices, _ = devices_lib.choose(experiment.batch_size)
    init, first = jax.jit(learner.init), jax.tree.map(lambda leaf: leaf[0], example)
    key = jax.random.key(experiment.seed)
    began = time.perf_counter()
    state = jax.eval_shape(init, key, first)
    update = devices_lib.compile_update(_with_gradient_norms(learner), state, example, devices)
    seconds = time.perf_counter() - began
    fresh = jax.device_put(devices_lib.pack(init(key, first)), devices[0])
    return Program(experiment, learner, batches, devices, update, fresh, seconds)


_part_of_the_way = jax.jit(optax.incremental_update)


def train(program: Program, batch_of: Callable[[int], Datapoint], *, step_factor: float = 1.0) -> Training:
    """Train from the fresh state for as many updates as the experiment has steps.

    Args:
      program: the prepared program.
      batch_of: number of an update -> its batch ``[B, ...]``.
      step_factor: factor of each update's change of the parameters. It equals a factor of the rate for an optimiser
        such as Adam, whose steps are proportional to its rate and whose state does not depend on it. The moving
        average is not adjusted.

    Raises:
      InputError: training refuses a batch.
    """
    state, rows, seconds, waited = program.fresh, [], [], []
    for number in range(program.experiment.num_steps):
        began = time.perf_counter()
        batch = sharding.shard(batch_of(number), program.devices)
        ready = time.perf_counter()
        after, metrics = program.update.call(state, batch)
        if step_factor != 1:
            after = after._replace(params=_part_of_the_way(after.params, state.params, step_factor))
        rows.append({name: float(value) for name, value in jax.device_get(metrics).items()})
        state = after
        waited.append(ready - began)
        seconds.append(time.perf_counter() - ready)
        if not_finite(rows[-1]):
            break
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Training(state, columns, np.array(seconds), np.array(waited))
