"""Training several experiments at once, in one program: those whose updates differ in numbers only.

Each member has its own learner, its own key, its own batches if its seed differs, and its own figures; nothing passes
between members, and one that diverges or is given up leaves the others as they are. The members are shared out among
the devices. What a member gets is what `hyperinr.training.loop.train` gives it alone, up to rounding: there the devices
share a batch, here the members.

Letters: ``T`` members, ``S`` slots for them: T and what it takes to fill the devices evenly.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import metrics
from hyperinr.datasets.base import Dataset, Source, held_out
from hyperinr.errors import RunError
from hyperinr.fitting import map_datapoints
from hyperinr.searching.lifting import DifferentError, Traced, lift, trace
from hyperinr.sharding import broadcast, map_on_devices, shard
from hyperinr.training.devices import pack, unpack
from hyperinr.training.divergence import FallGuard
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions, prefetched
from hyperinr.types import Array, Datapoint, DatasetSpec, MetaLearner, Metrics, Params, TrainState

__all__ = ['Cadence', 'Member', 'Programs', 'group', 'programs_of', 'train_together']


class Cadence(NamedTuple):
    """When a member reports, in steps; it also does after the last one.

    Attributes:
      log_every: of the means of training.
      validate_every: of the held-out PSNR.
      num_validation: datapoints of the validation split.
    """

    log_every: int
    validate_every: int
    num_validation: int

    def due(self, done: int, every: int, total: int) -> bool:
        return done % every == 0 or done == total


class Programs(NamedTuple):
    """What a learner does in a run, traced.

    Attributes:
      init: ``(key, datapoint) -> TrainState``.
      update: ``(TrainState, batch [B, ...]) -> (TrainState, Metrics)``.
      quality: ``(params, datapoint) -> PSNR [K + 1]`` in dB.
    """

    init: Traced
    update: Traced
    quality: Traced


class Member(NamedTuple):
    """One of the runs.

    Attributes:
      experiment: of which steps and batch size are those of all members.
      programs: of its learner.
    """

    experiment: Experiment
    programs: Programs


Report = Callable[[int, int, Mapping[str, Any]], bool]
"""``(member, step, record) -> whether it goes on``; records as in ``metrics.jsonl``."""
Lost = Callable[[int, str], None]
"""``(member, reason)`` of one that ended before its time."""


def programs_of(learner: MetaLearner, spec: DatasetSpec, batch: Datapoint) -> Programs:
    """Traces what the learner of a run does.

    Args:
      learner: of the run.
      spec: of its data.
      batch: leaves ``[B, ...]``; only shapes count.
    """
    datapoint = jax.tree.map(lambda leaf: leaf[0], batch)

    def quality(params: Params, datapoint: Datapoint) -> Array:
        context = learner.observe(jax.random.fold_in(jax.random.key(0), datapoint.index), datapoint)
        weights = learner.adapt(params, context, learner.num_steps)
        values = jax.vmap(learner.inr.apply, (0, None))(weights, datapoint.coords)
        of_one = lambda each: metrics.psnr(each, datapoint.values, datapoint.weight, data_range=spec.data_range)
        return jax.vmap(of_one)(values)

    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(learner.init, key, datapoint)
    return Programs(
        trace(learner.init, key, datapoint),
        trace(lambda state, batch: learner.update(state, batch, batch), state, batch),
        trace(quality, state.average, datapoint),
    )


def group(members: Sequence[Member]) -> tuple[list[list[int]], list[str]]:
    """Which members run in one program.

    Args:
      members: any.

    Returns:
      Positions of the members of each program, and how each later program differs from the first.
    """
    groups: list[list[int]] = []
    differences = []
    for position, member in enumerate(members):
        reasons = []
        for each in groups:
            try:
                _check_alike(members[each[0]], member)
            except DifferentError as difference:
                reasons.append(str(difference))
            else:
                each.append(position)
                break
        else:
            groups.append([position])
            differences += reasons[:1]
    return groups, differences


def _check_alike(one: Member, other: Member) -> None:
    for name in ('num_steps', 'batch_size'):
        first, second = getattr(one.experiment, name), getattr(other.experiment, name)
        if first != second:
            raise DifferentError(f'{name}: {first} against {second}')
    for pair in zip(one.programs, other.programs, strict=True):
        lift(pair)


def train_together(
    members: Sequence[Member],
    dataset: Dataset,
    cadence: Cadence,
    *,
    report: Report,
    lost: Lost,
    devices: Sequence[jax.Device] | None = None,
) -> TrainState:
    """Trains the members to their end, or until each has been given up.

    Args:
      members: T >= 1 of one `group`, on the same data.
      dataset: theirs.
      cadence: of the reports.
      report: called for each member that is still in the run.
      lost: called once for each member that diverged.
      devices: to share the members; ``None``: all local ones.

    Returns:
      The states, leaves ``[T, ...]``, typed keys; of a member that left early its last or any later one.

    Raises:
      DifferentError: the members are not of one group.
    """
    run = _Run(members, dataset, list(jax.local_devices() if devices is None else devices)[: len(members)])
    total = members[0].experiment.num_steps
    validate = run.validator(dataset.splits['validation'], cadence.num_validation)
    guards = [FallGuard() for _ in members]
    within = set(range(len(members)))

    def leave(member: int, reason: str) -> None:
        within.discard(member)
        lost(member, reason)

    def log(done: int, interval: list[Any], seconds: float) -> None:
        means = {name: np.mean([run.rows(each[name]) for each in interval], axis=0) for name in interval[0]}
        for member in sorted(within):
            figures = {name: float(values[member]) for name, values in means.items()}
            bad = [f'{name} is {value}' for name, value in figures.items() if not np.isfinite(value)]
            if bad:
                leave(member, f'training diverged by step {done}: {", ".join(bad)}; lower the learning rate.')
                continue
            try:
                guards[member].check(done, figures.get('psnr_db'))
            except RunError as error:
                leave(member, str(error))
                continue
            shared = {'step_seconds': seconds / len(interval), 'members': len(members)}
            if not report(member, done, {'kind': 'train', **figures, **shared}):
                within.discard(member)

    def look(done: int, state: TrainState) -> None:
        psnr = validate(state.average)
        for member in sorted(within):
            if np.isnan(psnr[member]).any():
                leave(member, f'the held-out PSNR after step {done} is not a number; lower the learning rate.')
            elif not report(member, done, {'kind': 'validation', 'psnr_db': psnr[member]}):
                within.discard(member)

    state = run.init()
    with prefetched(run.batch, 0, total) as batches:
        interval: list[Any] = []
        began = time.perf_counter()
        for done in range(1, total + 1):
            state, measured = run.update(state, next(batches))
            interval.append(measured)
            if cadence.due(done, cadence.log_every, total):
                jax.block_until_ready(measured)
                log(done, interval, time.perf_counter() - began)
                interval, began = [], time.perf_counter()
            if within and cadence.due(done, cadence.validate_every, total):
                look(done, state)
                began = time.perf_counter()
            if not within:
                break
    return unpack(jax.tree.map(run.rows, state))


class _Run:
    """The compiled programs of a group and what they are called with; leaves ``[devices, S / devices, ...]``."""

    def __init__(self, members: Sequence[Member], dataset: Dataset, devices: list[jax.Device]):
        self._count, self._devices = len(members), devices
        experiments = [member.experiment for member in members]
        self._seeds = [each.seed for each in experiments]
        source, size = dataset.splits['train'], experiments[0].batch_size
        distinct = list(dict.fromkeys(self._seeds))
        self._batches = [Batches(source, dataset.spec, Positions(len(source), size, seed)) for seed in distinct]
        self._which = np.array([distinct.index(seed) for seed in self._seeds])
        self._of_batch = 0 if len(distinct) > 1 else None
        programs = [member.programs for member in members]
        self._init, self._update, self._quality = (lift([each[column] for each in programs]) for column in range(3))
        self._numbers = self._spread(self._update.numbers)
        self._compiled = map_on_devices(self._updates, devices, donate=(1,))

    def _updates(self, numbers: list[Array], state: TrainState, batch: Datapoint) -> tuple[TrainState, Metrics]:
        axes = (0, 0, self._of_batch)
        state, measured = jax.vmap(self._update.call, axes)(numbers, unpack(state), batch)
        return pack(state), measured

    def batch(self, step: int) -> Datapoint:
        """Of every slot, or, where all seeds are equal, one for each device."""
        found = [batches(step) for batches in self._batches]
        if self._of_batch is None:
            return broadcast(found[0], self._devices)
        return self._spread(jax.tree.map(lambda *leaves: np.stack([leaves[which] for which in self._which]), *found))

    def init(self) -> TrainState:
        """The packed states at step 0."""
        first = jax.tree.map(lambda leaf: leaf[0], [batches(0) for batches in self._batches])
        datapoints = jax.tree.map(lambda *leaves: np.stack([leaves[which] for which in self._which]), *first)
        keys = self._spread(np.stack([jax.random.key_data(jax.random.key(seed)) for seed in self._seeds]))

        def fresh(numbers: list[Array], key: Array, datapoint: Datapoint) -> TrainState:
            return pack(jax.vmap(self._init.call)(numbers, jax.random.wrap_key_data(jnp.asarray(key)), datapoint))

        spread = (self._spread(self._init.numbers), keys, self._spread(datapoints))
        return map_on_devices(fresh, self._devices)(*spread)

    def update(self, state: TrainState, batch: Datapoint) -> tuple[TrainState, Metrics]:
        """One step of every slot; the memory of ``state`` is used again."""
        return self._compiled(self._numbers, state, batch)

    def validator(self, source: Source, most: int) -> Callable[[Params], np.ndarray]:
        """``(params) -> PSNR [T, K + 1]``, the mean over the datapoints that `training.validation` looks at."""
        positions = np.linspace(0, len(source) - 1, min(most, len(source))).round().astype(np.int64)
        batch = broadcast(held_out(source.batch(positions)), self._devices)
        numbers = self._spread(self._quality.numbers)

        def quality(numbers: list[Array], params: Params, batch: Datapoint) -> Array:
            def of_member(numbers: list[Array], params: Params) -> Array:
                return map_datapoints(lambda datapoint: self._quality.call(numbers, params, datapoint), batch)

            return jnp.mean(jax.vmap(of_member)(numbers, params), axis=1)

        mapped = map_on_devices(quality, self._devices)
        return lambda params: self.rows(mapped(numbers, params, batch))

    def _spread(self, tree: Any) -> Any:
        """``[T, ...]`` -> ``[devices, S / devices, ...]``, the last member repeated."""
        count = len(self._devices)
        slots = -(-self._count // count) * count
        rows = np.minimum(np.arange(slots), self._count - 1)
        return shard(jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tree), self._devices)

    def rows(self, leaf: Array) -> np.ndarray:
        """``[devices, S / devices, ...]`` -> ``[T, ...]``."""
        found = np.asarray(leaf)
        return found.reshape(-1, *found.shape[2:])[: self._count]
