"""Trials in one program. Their configs may differ only in the seed and in numbers of the outer optimiser.

There is one learner. The optimiser's numbers are part of its state (`numbers_in_state`), so members differ only in the
leaves of their `TrainState`, and ``jax.vmap`` over the states trains all of them. Members are independent: each has its
own key, batches and figures, and a diverged or pruned member does not affect the others. A member's result equals that
of `hyperinr.training.loop.train` up to rounding. There the devices share a batch; here they share the members.

Letters: ``T`` members, ``D`` devices, ``S`` rows of a state: T, padded to a multiple of D.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from hyperinr import config, library
from hyperinr.config.values import Config
from hyperinr.datasets.base import Dataset
from hyperinr.errors import RunError
from hyperinr.runtime.sharding import broadcast, fetch, map_on_devices, shard
from hyperinr.searching import study as studies
from hyperinr.searching.search import begin, kept
from hyperinr.searching.space import Draw
from hyperinr.searching.space_file import figure
from hyperinr.searching.study import Trials
from hyperinr.training.devices import pack, unpack
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions, prefetched
from hyperinr.training.watching.divergence import FallGuard, not_finite
from hyperinr.training.watching.evaluators import Evaluator, Findings, Subject, held_out_psnr
from hyperinr.training.watching.loggers.jsonl import MetricsFile
from hyperinr.types import Datapoint, Metrics, TrainState

__all__ = ['Member', 'difference', 'numbers_in_state', 'run_vmapped', 'train_vmapped']

SEED = 'experiment.experiment.seed'
Group = list[tuple[Any, Config]]
"""The trials of one program and their configs."""
OptimizerFactory = Callable[..., optax.GradientTransformation]
Report = Callable[[int, int, str, Findings], None]
"""``(member, step, kind, findings)``; may raise an exception to end the member. The kinds are of ``metrics.jsonl``."""


class Member(NamedTuple):
    """One run of the program.

    Attributes:
      seed: seed of its initialisation, batches and all other randomness.
      numbers: parameter of the outer optimiser's factory -> number. All members have the same parameters.
    """

    seed: int
    numbers: Mapping[str, float]


def numbers_in_state(factory: OptimizerFactory, numbers: Mapping[str, float]) -> OptimizerFactory:
    """Return an optimiser factory that keeps numbers in the optimiser's state. Each update reads them there.

    Args:
      factory: ``(num_steps=, **numbers) -> optax.GradientTransformation``; must accept arrays as numbers.
      numbers: the numbers in the initial state, which has them as ``hyperparams['values'] [len(numbers)]``, in order.
    """

    def with_state(**options: Any) -> optax.GradientTransformation:
        make = lambda values: factory(**options, **dict(zip(numbers, values, strict=True)))
        return optax.inject_hyperparams(make)(np.array(list(numbers.values()), np.float32))

    return with_state


def train_vmapped(
    experiment: Experiment,
    members: Sequence[Member],
    dataset: Dataset,
    *,
    log_every: int,
    evaluator: Evaluator,
    report: Report,
    stopped: Callable[[int, Exception], None],
) -> TrainState:
    """Train each member to its end, or until it diverges or ``report`` raises an exception.

    Args:
      experiment: experiment of all members. Its seed is not used. Its optimiser comes from `numbers_in_state` if
        members have numbers.
      members: T >= 1 members.
      dataset: dataset of the experiment.
      log_every: steps between two reports of the training means.
      evaluator: evaluator with a cadence in steps.
      report: called for each member that is still running.
      stopped: called with a member that ended early, and the exception.

    Returns:
      The packed states as NumPy arrays ``[T, ...]``. A member that stopped early has its state at that step or later.
    """
    learner, source, total = experiment.build(dataset.spec), dataset.splits['train'], experiment.num_steps
    devices = jax.local_devices()[: len(members)]
    batches = {
        seed: Batches(source, dataset.spec, Positions(len(source), experiment.batch_size, seed))
        for seed in {member.seed for member in members}
    }
    init = jax.jit(lambda key, datapoint: pack(learner.init(key, datapoint)))

    def first_state(member: Member) -> TrainState:
        first = jax.tree.map(lambda leaf: leaf[0], batches[member.seed](0))
        state = fetch(init(jax.random.key(member.seed), first))
        if not member.numbers:
            return state
        values = np.array(list(member.numbers.values()), np.float32)
        return state._replace(opt_state=state.opt_state._replace(hyperparams={'values': values}))

    def update(state: TrainState, batch: Datapoint) -> tuple[TrainState, Metrics]:
        axes = (0, None if len(batches) == 1 else 0)
        state, measured = jax.vmap(lambda state, batch: learner.update(state, batch, batch), axes)(unpack(state), batch)
        return pack(state), measured

    def batches_of(step: int) -> Datapoint:
        found = {seed: batches_of_seed(step) for seed, batches_of_seed in batches.items()}
        if len(found) == 1:
            return broadcast(found[members[0].seed], devices)
        return _spread([found[member.seed] for member in members], devices)

    def rows(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[2:])[: len(members)], tree)

    def tell(kind: str, findings_of: Callable[[int], Findings]) -> None:
        for member in tuple(within):
            try:
                report(member, done, kind, findings_of(member))
            except Exception as error:
                stopped(member, error)
                within.remove(member)

    def means(member: int) -> Findings:
        figures = {name: float(np.mean([each[name][member] for each in interval])) for name in interval[0]}
        if bad := not_finite(figures):
            raise RunError(f'training diverged by step {done}: {", ".join(bad)}; lower the learning rate.')
        guards[member].check(done, figures.get('psnr_db'))
        return Findings({**figures, 'step_seconds': seconds / len(interval), 'members': len(members)})

    def evaluate(member: int) -> Findings:
        return measure(jax.tree.map(lambda leaf: leaf[member], fetched))

    compiled = map_on_devices(update, devices, donate=(0,))
    beginnings = [first_state(member) for member in members]
    subject = Subject(learner, dataset, batches[members[0].seed], devices, jax.eval_shape(unpack, beginnings[0]))
    measure = evaluator.prepare(subject).measure
    state, guards, within = _spread(beginnings, devices), [FallGuard() for _ in members], list(range(len(members)))
    interval: list[Metrics] = []
    seconds = 0.0
    with prefetched(batches_of, 0, total) as prepared:
        for done, batch in enumerate(prepared, 1):
            began = time.perf_counter()
            state, measured = compiled(state, batch)
            interval.append(rows(measured))
            seconds += time.perf_counter() - began
            if done % log_every == 0 or done == total:
                tell('train', means)
                interval, seconds = [], 0.0
            if done % int(evaluator.every.amount) == 0 or done == total:
                fetched = rows(state)
                tell(evaluator.name, evaluate)
            if not within:
                break
    return TrainState(*rows(state))


def _spread(trees: Sequence[Any], devices: Sequence[jax.Device]) -> Any:
    """Stack T trees to leaves ``[D, S / D, ...]``, with the last member repeated."""
    missing = -len(trees) % len(devices)
    return shard(jax.tree.map(lambda *leaves: np.stack(leaves), *trees, *[trees[-1]] * missing), devices)


def difference(one: Config, other: Config) -> str | None:
    """Return the first setting that prevents two configs from sharing a program; ``None`` if there is none."""
    settings, others, (_, prefix) = _settings(one), _settings(other), _optimizer(one)
    for name in dict.fromkeys([*settings, *others]):
        pair = settings.get(name), others.get(name)
        number = name.startswith(prefix) and all(isinstance(value, float) for value in pair)
        if pair[0] != pair[1] and name != SEED and not number:
            return name
    return None


def _settings(resolved: Config) -> dict[str, Any]:
    """Return parameter -> value, with macros replaced."""
    return {each.name: resolved.value(each.name) for each in resolved.settings if '.' in each.name}


def _optimizer(resolved: Config) -> tuple[OptimizerFactory, str]:
    """Return the outer optimiser's factory and the prefix of its parameters: ``'@'`` for one with a scope or a call."""
    reference = resolved.value('experiment.experiment.optimizer')
    prefix = '@' if reference.scope or reference.called else f'{reference.target!r}.'
    return config.configured(reference.target.function), prefix


def run_vmapped(trials: Trials, most: int) -> None:
    """Run trials, at most ``most`` at a time, until none is left to begin.

    A trial's figures go to a file in ``figures/``, in the format of ``metrics.jsonl``. Its weights are not stored. An
    interrupted trial begins from step 0.
    """
    while studies.left(trials):
        with studies.begun(trials, most) as new:
            _run_new(trials, new)


def _run_new(trials: Trials, new: Sequence[tuple[Any, Draw]]) -> None:
    """Group trials that can share a program, and train one group after the other."""
    groups: list[Group] = []
    for trial, drawn in new:
        try:
            resolved = begin(trials, trial, drawn)
        except Exception as error:
            studies.record(trials, trial, error)
            continue
        alike = [group for group in groups if difference(group[0][1], resolved) is None]
        if not alike:
            groups.append([])
        (alike or groups)[-1].append((trial, resolved))
    many = 'one program' if len(groups) == 1 else f'{len(groups)} programs'
    reason = f', since they differ in {difference(groups[0][0][1], groups[1][0][1])}' if len(groups) > 1 else ''
    print(f'{sum(map(len, groups))} trials in {many}{reason}', flush=True)
    for group in groups:
        _run_group(trials, group)
        jax.clear_caches()


def _run_group(trials: Trials, group: Group) -> None:
    """Train the trials of one program, and record how each ended."""
    try:
        with config.applied(group[0][1]):
            _train_group(trials, group)
    except Exception as error:
        if isinstance(error, jax.errors.ConcretizationTypeError) and len(group) > 1:
            print('trials run one by one: the optimiser takes no arrays for its numbers', flush=True)
            for each in group:
                _run_group(trials, [each])
        for trial, _ in group:
            if studies.runs(trials, trial):
                studies.record(trials, trial, error)


def _train_group(trials: Trials, group: Group) -> None:
    """Train and prune the trials, and record how each ended, unless the whole program fails."""
    values, (factory, prefix) = [_settings(resolved) for _, resolved in group], _optimizer(group[0][1])
    names = [name for name in values[0] if name.startswith(prefix) and len({repr(each[name]) for each in values}) > 1]
    members = [Member(each[SEED], {name.removeprefix(prefix): each[name] for name in names}) for each in values]
    parts = {'optimizer': numbers_in_state(factory, members[0].numbers)} if names else {}
    experiment = library.compose(**parts)

    def report(member: int, step: int, kind: str, found: Findings) -> None:
        record, trial = {**found.figures, **found.curves}, group[member][0]
        files[member].write(step, {'kind': kind, **record})
        if kind != 'train':
            value = figure(trials.settings.objective, record)
            studies.report(trial, value, step)
            if step == experiment.num_steps:
                studies.record(trials, trial, value)

    with contextlib.ExitStack() as stack:
        paths = [kept(trials, trial)[1] for trial, _ in group]
        paths[0].parent.mkdir(exist_ok=True)
        files = [stack.enter_context(contextlib.closing(MetricsFile(path, after_step=0))) for path in paths]
        train_vmapped(
            experiment,
            members,
            experiment.dataset(),
            log_every=values[0]['loop.train.log_every'],
            evaluator=config.configured(held_out_psnr)(num_pictures=0),
            report=report,
            stopped=lambda member, error: studies.record(trials, group[member][0], error),
        )
