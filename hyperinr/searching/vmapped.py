"""Trials in one program: those whose configs differ only in the seed and in numbers of the outer optimiser.

There is one learner. The optimiser's numbers are part of its state (`numbers_in_state`), so that members differ in the
leaves of their `TrainState` alone, and ``jax.vmap`` over the states trains all of them. Nothing passes between members:
each has its own key, batches and figures, and one that diverges or is given up leaves the others as they are. A member
gets what `hyperinr.training.loop.train` gives it alone, up to rounding: there the devices share a batch, here the
members.

Letters: ``T`` members, ``D`` devices, ``S`` rows of a state: T and what it takes to fill the devices evenly.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import config, library
from hyperinr.config.values import Config
from hyperinr.datasets.base import Dataset
from hyperinr.errors import RunError
from hyperinr.runtime.sharding import broadcast, fetch, map_on_devices, shard
from hyperinr.searching import study as studies
from hyperinr.searching.search import Search
from hyperinr.searching.space_file import figure
from hyperinr.training.devices import pack, unpack
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions, prefetched
from hyperinr.training.watching.divergence import FallGuard, not_finite
from hyperinr.training.watching.evaluators import Evaluator, Findings, Subject, held_out_psnr
from hyperinr.training.watching.loggers.jsonl import MetricsFile
from hyperinr.types import Array, Datapoint, Metrics, Params, TrainState

__all__ = ['Member', 'difference', 'numbers_in_state', 'run_vmapped', 'train_vmapped']

SEED = 'experiment.experiment.seed'
Group = list[tuple[Any, Config]]
"""Trials of one program and their configs."""
OptimizerFactory = Callable[..., optax.GradientTransformation]
Report = Callable[[int, int, str, Findings | RunError], bool]
"""``(member, step, kind, findings) -> whether it goes on``; kinds as in ``metrics.jsonl``, an error if it diverged."""


class Member(NamedTuple):
    """One of the runs.

    Attributes:
      seed: of its initialisation, batches and all other randomness.
      numbers: of the outer optimiser, by parameter of its factory; all members have the same parameters.
    """

    seed: int
    numbers: Mapping[str, float]


class OptimizerState(NamedTuple):
    """State of an optimiser of `numbers_in_state`.

    Attributes:
      numbers: ``[]`` each.
      inner: state of the optimiser that has these numbers.
    """

    numbers: Mapping[str, Array]
    inner: Any


def numbers_in_state(factory: OptimizerFactory, numbers: Mapping[str, float]) -> OptimizerFactory:
    """Returns an optimiser factory that keeps numbers in the optimiser's state, from which each update takes them.

    Args:
      factory: ``(num_steps=, **numbers) -> optax.GradientTransformation``; must take arrays for the numbers.
      numbers: that the state begins with.
    """

    def with_state(**options: Any) -> optax.GradientTransformation:
        def init(params: Params) -> OptimizerState:
            arrays = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
            return OptimizerState(arrays, factory(**options, **arrays).init(params))

        def update(gradient: Params, state: OptimizerState, params: Params | None = None) -> tuple[Params, Any]:
            updates, inner = factory(**options, **state.numbers).update(gradient, state.inner, params)
            return updates, OptimizerState(state.numbers, inner)

        return optax.GradientTransformation(init, update)

    return with_state


def train_vmapped(
    experiment: Experiment,
    members: Sequence[Member],
    dataset: Dataset,
    *,
    log_every: int,
    evaluator: Evaluator,
    report: Report,
    devices: Sequence[jax.Device] | None = None,
) -> TrainState:
    """Trains the members to their end, or until each has been given up.

    Args:
      experiment: of all members; its seed does not count. Its optimiser is one of `numbers_in_state` if they have
        numbers.
      members: T >= 1.
      dataset: of the experiment.
      log_every: steps between two reports of the means of training.
      evaluator: with a cadence in steps.
      report: called for each member that is still in the run.
      devices: to share the members; ``None``: all local ones.

    Returns:
      The states as NumPy arrays ``[T, ...]``, packed; of a member that left early its last or any later one.
    """
    learner, source, total = experiment.build(dataset.spec), dataset.splits['train'], experiment.num_steps
    devices = list(devices or jax.local_devices())[: len(members)]
    batches = {
        seed: Batches(source, dataset.spec, Positions(len(source), experiment.batch_size, seed))
        for seed in {member.seed for member in members}
    }
    init = jax.jit(lambda key, datapoint: pack(learner.init(key, datapoint)))

    def begin(member: Member) -> TrainState:
        first = jax.tree.map(lambda leaf: leaf[0], batches[member.seed](0))
        state = fetch(init(jax.random.key(member.seed), first))
        if not member.numbers:
            return state
        numbers = {name: np.float32(value) for name, value in member.numbers.items()}
        return state._replace(opt_state=state.opt_state._replace(numbers=numbers))

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
                found: Findings | RunError = findings_of(member)
            except RunError as error:
                found = error
            if not report(member, done, kind, found):
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
    beginnings = [begin(member) for member in members]
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
    """T trees -> leaves ``[D, S / D, ...]``, the last member repeated."""
    missing = -len(trees) % len(devices)
    return shard(jax.tree.map(lambda *leaves: np.stack(leaves), *trees, *[trees[-1]] * missing), devices)


def difference(one: Config, other: Config) -> str | None:
    """Returns the first setting that keeps two configs out of one program, ``None`` if there is none."""
    settings, others, (_, prefix) = _settings(one), _settings(other), _optimizer(one)
    for name in dict.fromkeys([*settings, *others]):
        pair = settings.get(name), others.get(name)
        number = name.startswith(prefix) and all(isinstance(value, float) for value in pair)
        if pair[0] != pair[1] and name != SEED and not number:
            return name
    return None


def _settings(resolved: Config) -> dict[str, Any]:
    """Values by parameter, macros replaced."""
    return {each.name: resolved.value(each.name) for each in resolved.settings if '.' in each.name}


def _optimizer(resolved: Config) -> tuple[OptimizerFactory, str]:
    """The outer optimiser's factory, and what its parameters begin with; only of one without a scope or a call."""
    reference = resolved.value('experiment.experiment.optimizer')
    prefix = '@' if reference.scope or reference.called else f'{reference.target!r}.'
    return config.configured(reference.target.function), prefix


def run_vmapped(search: Search, most: int) -> None:
    """Works on trials, at most ``most`` at a time, until none is left to begin.

    A trial's figures go to a file in ``figures/``, as a run's to ``metrics.jsonl``; its weights are not kept, and one
    that is interrupted begins anew.
    """
    while asked := studies.ask(search.trials, most):
        groups: list[Group] = []
        for trial, drawn in asked:
            try:
                resolved = search.begin(trial, drawn)
            except Exception as error:
                studies.record(search.trials, trial, error=error)
                continue
            alike = [group for group in groups if difference(group[0][1], resolved) is None]
            if not alike:
                groups.append([])
            (alike or groups)[-1].append((trial, resolved))
        many = 'one program' if len(groups) == 1 else f'{len(groups)} programs'
        reason = f', since they differ in {difference(groups[0][0][1], groups[1][0][1])}' if len(groups) > 1 else ''
        print(f'{sum(map(len, groups))} trials in {many}{reason}', flush=True)
        for group in groups:
            _run_group(search, group)
            jax.clear_caches()


def _run_group(search: Search, group: Group) -> None:
    """Trains the trials of one program, and records how each ended."""
    latest, failure = [float('nan')] * len(group), None
    try:
        with config.applied(group[0][1]):
            _train_group(search, group, latest)
    except Exception as error:
        failure = error
    if isinstance(failure, jax.errors.ConcretizationTypeError) and len(group) > 1:
        print('trials run one by one: the optimiser takes no arrays for its numbers', flush=True)
        for each in group:
            _run_group(search, [each])
    for value, (trial, _) in zip(latest, group, strict=True):
        if studies.runs(search.trials, trial):
            studies.record(search.trials, trial, value=value, error=failure)


def _train_group(search: Search, group: Group, latest: list[float]) -> None:
    """Trains the trials, prunes them, and keeps the newest objective of each in ``latest``."""
    values, (factory, prefix) = [_settings(resolved) for _, resolved in group], _optimizer(group[0][1])
    names = [name for name in values[0] if name.startswith(prefix) and len({repr(each[name]) for each in values}) > 1]
    members = [Member(each[SEED], {name.removeprefix(prefix): each[name] for name in names}) for each in values]
    parts = {'optimizer': numbers_in_state(factory, members[0].numbers)} if names else {}
    experiment = library.compose(**parts)

    def report(member: int, step: int, kind: str, found: Findings | RunError) -> bool:
        trial, _ = group[member]
        if isinstance(found, RunError):
            studies.record(search.trials, trial, error=found)
            return False
        record = {**found.figures, **found.curves}
        files[member].write(step, {'kind': kind, **record})
        if kind == 'train':
            return True
        latest[member] = figure(search.trials.settings.objective, record)
        trial.report(latest[member], step)
        if not trial.should_prune():
            return True
        studies.record(search.trials, trial)
        return False

    with contextlib.ExitStack() as stack:
        paths = [search.kept(trial)[1] for trial, _ in group]
        paths[0].parent.mkdir(exist_ok=True)
        files = [stack.enter_context(contextlib.closing(MetricsFile(path, after_step=0))) for path in paths]
        train_vmapped(
            experiment,
            members,
            experiment.dataset(),
            log_every=values[0]['loop.train.log_every'],
            evaluator=config.configured(held_out_psnr)(num_pictures=0),
            report=report,
        )
