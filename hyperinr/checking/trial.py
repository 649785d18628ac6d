"""Training in short: the very program of training, with a schedule of its own, each update measured.

Letters: ``B`` datapoints of a batch, ``U`` updates.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.training import devices as seam
from hyperinr.training.divergence import not_finite
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions
from hyperinr.types import Array, Datapoint, MetaLearner, Params, TrainState

__all__ = ['Course', 'Trial', 'module_of', 'modules', 'prepare', 'repeated', 'run', 'score']

GRADIENT = 'gradient/'
LAST_UPDATES = 5
"""Whose mean PSNR is the result of a course: one update alone may be an outlier."""


class Trial(NamedTuple):
    """What is compiled once for all short courses of training.

    Attributes:
      experiment: with as many steps as a course has updates, so that it goes through the whole schedule.
      learner: of it.
      batches: of the real run.
      devices: that share a batch.
      update: compiled; its metrics hold the norm of each module's gradient under ``'gradient/MODULE'``.
      fresh: the state before the first update, packed and placed.
      compile_seconds: of the update.
    """

    experiment: Experiment
    learner: MetaLearner
    batches: Batches
    devices: list[jax.Device]
    update: seam.CompiledUpdate
    fresh: TrainState
    compile_seconds: float


class Course(NamedTuple):
    """One short course of training.

    Attributes:
      state: packed, on the first device, after the last update.
      metrics: name -> ``[U]``; fewer entries where it diverged, the last of which is not finite.
      update_seconds: ``[U]``.
      input_seconds: ``[U]``, making the batch.
    """

    state: TrainState
    metrics: Mapping[str, np.ndarray]
    update_seconds: np.ndarray
    input_seconds: np.ndarray

    @property
    def diverged(self) -> bool:
        """Whether it ended before its time."""
        return bool(not_finite({name: float(values[-1]) for name, values in self.metrics.items()}))


def modules(params: Params) -> dict[str, list[Array]]:
    """``{'encoder/stage_0': [w, b], ...}``: the leaves of the parameters by the module that holds them."""
    found: dict[str, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.setdefault(module_of(path), []).append(leaf)
    return found


def module_of(path: Sequence[Any]) -> str:
    """The module that holds the leaf of this path; a leaf on its own is one."""
    names = [str(getattr(key, 'key', getattr(key, 'name', getattr(key, 'idx', key)))) for key in path]
    return '/'.join(names[:-1] or names)


def _probing(learner: MetaLearner) -> MetaLearner:
    """The same learner, whose updates also report the norm of each module's gradient."""

    def apply_gradient(state: TrainState, gradient: Params) -> tuple[TrainState, Mapping[str, Array]]:
        after, measured = learner.apply_gradient(state, gradient)
        norms = {
            f'{GRADIENT}{name}': jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in leaves))
            for name, leaves in modules(gradient).items()
        }
        return after, {**measured, **norms}

    return learner._replace(apply_gradient=apply_gradient)


def prepare(experiment: Experiment, dataset: Any) -> Trial:
    """Compiles the update of ``experiment``; nothing runs yet but the initialisation.

    Raises:
      InputError: the first batch is refused.
    """
    spec, learner = dataset.spec, experiment.build(dataset.spec)
    source = dataset.splits['train']
    batches = Batches(source, spec, Positions(len(source), experiment.batch_size, experiment.seed))
    example = batches(0)
    devices, _ = seam.choose(experiment.batch_size)
    init = jax.jit(learner.init)
    first = jax.tree.map(lambda leaf: leaf[0], example)
    key = jax.random.key(experiment.seed)
    began = time.perf_counter()
    update = seam.compile_update(_probing(learner), jax.eval_shape(init, key, first), example, devices)
    seconds = time.perf_counter() - began
    fresh = seam.put_on_first(seam.pack(init(key, first)), devices)
    return Trial(experiment, learner, batches, devices, update, fresh, seconds)


def repeated(datapoint: Datapoint, size: int) -> Datapoint:
    """One datapoint as a batch ``[B, ...]`` of copies of it."""
    return jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], size, axis=0), datapoint)


@jax.jit
def _between(before: Params, after: Params, factor: Array) -> Params:
    return jax.tree.map(lambda old, new: old + factor * (new - old), before, after)


def run(trial: Trial, batch_of: Callable[[int], Datapoint], *, step_factor: float = 1.0) -> Course:
    """As many updates as the experiment has steps, from the fresh state.

    Args:
      trial: prepared.
      batch_of: number of an update -> its batch ``[B, ...]``.
      step_factor: of the way that each update goes. For an optimiser whose steps are proportional to its rate and
        whose state does not depend on it, as Adam, that is a factor of the rate; the moving average is not adjusted.

    Raises:
      InputError: a batch that training refuses.
    """
    state, rows, seconds, waited = trial.fresh, [], [], []
    for number in range(trial.experiment.num_steps):
        began = time.perf_counter()
        batch = seam.shard(batch_of(number), trial.devices)
        ready = time.perf_counter()
        after, metrics = trial.update.call(state, batch)
        if step_factor != 1:
            after = after._replace(params=_between(state.params, after.params, step_factor))
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        state = after
        rows.append(row)
        waited.append(ready - began)
        seconds.append(time.perf_counter() - ready)
        if not_finite(row):
            break
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Course(state, columns, np.array(seconds), np.array(waited))


def score(course: Course) -> float:
    """Mean training PSNR of the last updates in dB; minus infinity where it diverged."""
    if course.diverged:
        return float('-inf')
    return float(course.metrics['psnr_db'][-LAST_UPDATES:].mean())
