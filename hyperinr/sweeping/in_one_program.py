"""Trials several at a time: those whose updates differ in numbers only run in one program, any other by itself."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from hyperinr import config, library
from hyperinr.config.values import Config, Reference, leaves
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.searching import space as spaces
from hyperinr.searching import study as studies
from hyperinr.searching.space import Draw
from hyperinr.searching.together import Cadence, Member, group, programs_of, train_together
from hyperinr.sweeping.one_by_one import CAUGHT, objective_of
from hyperinr.sweeping.opened import Sweep, cadence_of, figures_file, say
from hyperinr.training.input_pipeline import Batches, Positions
from hyperinr.training.loggers.jsonl import MetricsFile

__all__ = ['run_in_one_program', 'what_differs']


class _Surroundings(NamedTuple):
    """What all members of a program share beside it: the settings of their data, and when they report."""

    data: str
    cadence: Cadence


class _Prepared(NamedTuple):
    trial: Any
    drawn: Draw
    member: Member
    surroundings: _Surroundings


class _Preparation:
    """Trials -> members, each dataset opened once."""

    def __init__(self) -> None:
        self.datasets: dict[str, Dataset] = {}

    def __call__(self, resolved: Config) -> tuple[Member, _Surroundings]:
        around = _Surroundings(_data_of(resolved), cadence_of(resolved))
        with config.applied(resolved):
            experiment = library.compose()
            if around.data not in self.datasets:
                self.datasets[around.data] = experiment.dataset()
            dataset = self.datasets[around.data]
            source = dataset.splits['train']
            positions = Positions(len(source), experiment.batch_size, experiment.seed)
            example = Batches(source, dataset.spec, positions)(0)
            programs = programs_of(experiment.build(dataset.spec), dataset.spec, example)
        return Member(experiment, programs), around


def _data_of(resolved: Config) -> str:
    """Every setting that the dataset of a config depends on."""
    found: dict[str, str] = {}
    waiting = [resolved.value('experiment.experiment.dataset')]
    while waiting:
        for leaf in leaves(waiting.pop()):
            if isinstance(leaf, Reference) and repr(leaf) not in found:
                found[repr(leaf)] = ''
                for setting in resolved.settings:
                    owner = setting.name.rpartition('.')[0].rpartition('/')[2]
                    if owner == repr(leaf.target):
                        value = resolved.value(setting.name)
                        found[setting.name] = repr(value)
                        waiting.append(value)
    return repr(sorted(found.items()))


def what_differs(found: Sweep) -> str | None:
    """What the first parameter that cannot run in one program changes; ``None`` if all can."""
    prepare, first = _Preparation(), None
    for parameter, drawn in spaces.probes(found.wanted.space):
        try:
            member, around = prepare(found.resolved(drawn))
        except InputError as error:
            return f'{parameter.binding} = {drawn[parameter.binding]!r} is refused ({studies.reason_of(error)})'
        if first is None:
            first = (member, around)
        elif around != first[1]:
            return f'{parameter.binding} changes the data or the cadence'
        else:
            _, differences = group([first[0], member])
            if differences:
                return f'{parameter.binding} changes the program ({differences[0]})'
    return None


def run_in_one_program(found: Sweep, most: int) -> None:
    """Works on trials, at most ``most`` at a time, until none is left to begin.

    A trial's figures go to a file in ``figures/``, as a run's to ``metrics.jsonl``; its weights are not kept, and one
    that is interrupted begins anew.
    """
    prepare = _Preparation()
    with studies.working(found.trials) as worker:
        while asked := studies.ask(found.trials, worker, most):
            with _requeued(found, [trial for trial, _ in asked]):
                _run_batch(found, prepare, asked)


@contextlib.contextmanager
def _requeued(found: Sweep, trials: Sequence[Any]) -> Any:
    """On an interruption, and on what is no trial's fault, puts back what has not ended."""
    try:
        yield
    except BaseException as error:
        for trial in trials:
            frozen = studies.frozen(found.trials, trial)
            if not frozen.state.is_finished():
                studies.requeue(found.trials, frozen, f'interrupted: {studies.reason_of(error)}')
        raise


def _run_batch(found: Sweep, prepare: _Preparation, asked: Sequence[tuple[Any, Draw]]) -> None:
    alike: dict[_Surroundings, list[_Prepared]] = {}
    for trial, drawn in asked:
        try:
            resolved = found.resolved(drawn)
            trial.set_user_attr('config', resolved.text)
            member, around = prepare(resolved)
        except CAUGHT as error:
            _fail(found, trial, studies.reason_of(error))
            continue
        alike.setdefault(around, []).append(_Prepared(trial, drawn, member, around))
    programs, differences = [], []
    for prepared in alike.values():
        groups, reasons = group([each.member for each in prepared])
        programs += [[prepared[position] for position in positions] for positions in groups]
        differences += reasons
    sizes = ' + '.join(str(len(program)) for program in programs)
    many = 'one program' if len(programs) == 1 else f'{len(programs)} programs of {sizes}'
    reason = f', since they differ in more than numbers: {differences[0]}' if differences else ''
    print(f'{sum(map(len, programs))} trials in {many}{reason}', flush=True)
    for program in programs:
        if len(program) == 1:
            trial, drawn = program[0].trial, program[0].drawn
            studies.run_trial(found.trials, trial, drawn, objective_of(found), catch=CAUGHT, on_end=say)
        else:
            _run_program(found, program, prepare.datasets[program[0].surroundings.data])
    jax.clear_caches()


def _run_program(found: Sweep, program: Sequence[_Prepared], dataset: Dataset) -> None:
    from optuna.trial import TrialState

    trials, values = [each.trial for each in program], [float('nan')] * len(program)
    within = set(range(len(program)))
    with contextlib.ExitStack() as stack:
        files = []
        for each in program:
            path = figures_file(found.folder, each.trial)
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            files.append(MetricsFile(path, after_step=0))
            stack.callback(files[-1].close)

        def report(position: int, step: int, record: Mapping[str, Any]) -> bool:
            files[position].write(step, record)
            if record['kind'] != 'validation':
                return True
            values[position] = found.wanted.value(record)
            trials[position].report(values[position], step)
            if not trials[position].should_prune():
                return True
            within.discard(position)
            found.trials.study.tell(trials[position], state=TrialState.PRUNED)
            say(studies.frozen(found.trials, trials[position]))
            return False

        def lost(position: int, reason: str) -> None:
            within.discard(position)
            _fail(found, trials[position], reason)

        try:
            members = [each.member for each in program]
            train_together(members, dataset, program[0].surroundings.cadence, report=report, lost=lost)
        except CAUGHT as error:
            for position in sorted(within):
                lost(position, studies.reason_of(error))
    for position in sorted(within):
        found.trials.study.tell(trials[position], values[position])
        say(studies.frozen(found.trials, trials[position]))


def _fail(found: Sweep, trial: Any, reason: str) -> None:
    studies.fail(found.trials, trial, reason)
    say(studies.frozen(found.trials, trial))
