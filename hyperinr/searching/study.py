"""The trials of a search. Optuna stores them in one folder for any number of processes, and any end can be resumed.

A process locks a file of each trial that it runs. The operating system releases the lock when the process ends in any
way, so a trial that is marked as running and has a free lock was killed. This holds for SQLite and journal files, for
trials of one program, for processes beside living ones and for a resumed search. Optuna's retry callback begins such a
trial again, with the same values.

Optuna is imported when a study is opened (``pip install hyperinr[tune]``).
"""

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hyperinr.errors import InputError, InterruptedRunError, RunError, first_line
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.locks import locked
from hyperinr.searching import space as spaces
from hyperinr.searching.space import Draw, Space

__all__ = [
    'Objective',
    'ObjectiveError',
    'Settings',
    'Trials',
    'begun',
    'check_storage',
    'ended',
    'first_number',
    'frozen',
    'left',
    'open_trials',
    'record',
    'report',
    'retry_lost',
    'run_trials',
    'runs',
    'say',
    'settings',
    'work_off',
]

DIRECTIONS = ('maximize', 'minimize')
SAMPLERS = ('tpe', 'random', 'grid')
PRUNERS = ('median', 'hyperband', 'none')
FILES = {'sqlite': 'study.db', 'journal': 'journal.log'}
RESULTS = ('trials', 'figures', 'trials.json')
"""Files and folders of a search that has begun."""
STUDY = 'hyperinr'
NUM_FREE_TRIALS = 5
"""Complete trials before their median prunes others."""
MAX_RETRIES = 3
"""Most retries of a trial whose process was killed: the trial itself may cause it."""
DATABASE_SECONDS = 60
"""Longest wait of a process while others write to the SQLite file."""
POLL_SECONDS = 1.0

Objective = Callable[[Any, Draw], float]
"""``(trial, draw) -> value``; may report to the trial and raise ``optuna.TrialPruned``."""


class ObjectiveError(InputError):
    """The objective is not measured, which no further trial would change."""


class Settings(NamedTuple):
    """The settings of a search. `settings` makes them.

    Attributes:
      space: the search space.
      objective: name of the objective.
      direction: ``'maximize'`` or ``'minimize'``.
      sampler: ``'tpe'`` (Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization" (2011)),
        ``'random'`` or ``'grid'``.
      pruner: ``'median'`` of the complete trials, ``'hyperband'`` (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar,
        "Hyperband" (2018)) or ``'none'``.
      num_trials: number of trials, >= 1; for a grid the most.
      seed: seed of the draws, >= 0.
    """

    space: Space
    objective: str = 'psnr_db'
    direction: str = 'maximize'
    sampler: str = 'tpe'
    pruner: str = 'median'
    num_trials: int = 30
    seed: int = 0


class Trials(NamedTuple):
    """The trials of an open search.

    Attributes:
      study: study of Optuna.
      folder: its folder.
      settings: settings of the search; ``num_trials`` are to end, with any outcome.
    """

    study: Any
    folder: Path
    settings: Settings


def settings(space: Space, **options: Any) -> Settings:
    """Return checked `Settings`.

    Raises:
      ValueError: a value is not one that `Settings` lists.
    """
    found = Settings(space, **options)
    for name, known in (('direction', DIRECTIONS), ('sampler', SAMPLERS), ('pruner', PRUNERS)):
        if getattr(found, name) not in known:
            raise ValueError(f'{name} {getattr(found, name)!r} is none of {", ".join(known)}.')
    for name, least in (('num_trials', 1), ('seed', 0)):
        value = getattr(found, name)
        if not isinstance(value, int) or value < least:
            raise ValueError(f'{name} must be a whole number >= {least}, not {value!r}.')
    return found


def check_storage(storage: str | None) -> Any:
    """Check the storage, and return the package ``optuna`` with its log messages switched off.

    Raises:
      InputError: Optuna is missing, or there is no such storage.
    """
    if storage is not None and storage not in FILES:
        raise InputError(f'--storage {storage!r} is none of {", ".join(FILES)}.')
    optuna = import_extra('optuna', needed_by='searching', package='Optuna', extra='tune')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_trials(
    folder: str | os.PathLike,
    settings: Settings,
    *,
    digest: str,
    storage: str | None = None,
    resources: tuple[int, int] = (1, 100),
) -> Trials:
    """Begin a search in ``folder``, or open the one in it.

    Args:
      folder: an existing folder.
      settings: settings of the search. A grid has at most its points.
      digest: digest of everything that affects a trial's figures. A folder belongs to one digest.
      storage: ``'sqlite'``, or ``'journal'``, a file that network file systems can share too; ``None``: the storage in
        the folder, else SQLite.
      resources: training steps at the first report and at the end, for hyperband.

    Raises:
      InputError: the storage is unknown, the folder holds another search, or Optuna is missing.
    """
    optuna = check_storage(storage)
    folder = Path(folder)
    held = next((name for name, file in FILES.items() if (folder / file).exists()), None)
    if held and storage not in (None, held):
        raise InputError(f'{folder} keeps its trials in {FILES[held]}; give --storage {held}.')
    least, most = resources
    pruners = {
        'median': optuna.pruners.MedianPruner(n_startup_trials=NUM_FREE_TRIALS),
        'hyperband': optuna.pruners.HyperbandPruner(min_resource=least, max_resource=max(least, most)),
        'none': optuna.pruners.NopPruner(),
    }
    with _one_process(folder), _readable(folder / FILES[storage or held or 'sqlite']) as path:
        study = optuna.create_study(
            storage=_storage(optuna, path),
            study_name=STUDY,
            direction=settings.direction,
            pruner=pruners[settings.pruner],
            load_if_exists=True,
        )
        if study.user_attrs.get('config_sha256', digest) != digest:
            raise InputError(
                f'{folder} holds a search of another config, space or objective; give another folder, or its own.'
            )
        study.set_user_attr('config_sha256', digest)
        trials = study.get_trials(deepcopy=False)
        if settings.sampler == 'grid':
            points = spaces.grid(settings.space)[: settings.num_trials]
            settings = settings._replace(num_trials=len(points))
            for point in points[len([each for each in trials if first_number(each) == each.number]) :]:
                study.enqueue_trial(spaces.stored(point, settings.space))
    sampler = optuna.samplers.TPESampler if settings.sampler == 'tpe' else optuna.samplers.RandomSampler
    study.sampler = sampler(seed=settings.seed + len(trials))
    return Trials(study, folder, settings)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Yield the file of the trials; raise `InputError`, with nothing written, if it is damaged or was lost."""
    from sqlalchemy.exc import DatabaseError

    results = [path.parent / name for name in RESULTS if (path.parent / name).exists()]
    if results and not (path.is_file() and path.stat().st_size):
        raise InputError(f'{path} is missing or empty, and {results[0]} is there: restore it, or give another folder.')
    if path.name == FILES['journal'] and path.exists():
        if _damaged_line(path):
            time.sleep(POLL_SECONDS)  # Another process may be writing it.
        if line := _damaged_line(path):
            raise InputError(f'{path} is damaged in line {line}: restore it, or give another folder.')
    try:
        yield path.absolute()
    except DatabaseError as error:
        raise InputError(f'{path} cannot be used ({error.orig}): restore it, or give another folder.') from error


def _damaged_line(path: Path) -> int | None:
    """Return the number of the first line of a journal that is no JSON or is cut short: Optuna would append to it."""
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        with contextlib.suppress(ValueError):
            json.loads(line)
            if line.endswith(b'\n'):
                continue
        return number
    return None


def _storage(optuna: Any, path: Path) -> Any:
    storages = optuna.storages
    if path.name == FILES['journal']:
        return storages.JournalStorage(storages.journal.JournalFileBackend(str(path)))
    options = {'connect_args': {'timeout': DATABASE_SECONDS}}
    return storages.RDBStorage(f'sqlite:///{path}', engine_kwargs=options)


def _one_process(folder: Path) -> contextlib.AbstractContextManager[bool]:
    """Return a lock under which one process at a time reads and changes the trials."""
    return locked(folder / '.lock')


def _running(trials: Trials, number: int, *, wait: bool = True) -> contextlib.AbstractContextManager[bool]:
    """Return the lock that a process holds while it runs a trial."""
    return locked(trials.folder / '.running' / f'{number:04d}', wait=wait)


def work_off(trials: Trials, run: Callable[[], None]) -> None:
    """Call ``run``, which returns when no trial is left to begin, until all trials of all processes have ended."""
    while len(ended(trials)) < trials.settings.num_trials:
        retry_lost(trials)
        if left(trials):
            run()
        else:
            time.sleep(POLL_SECONDS)  # Other processes work on the last trials.


def retry_lost(trials: Trials) -> None:
    """Begin the trials again whose process was killed."""
    from optuna.trial import TrialState

    with _one_process(trials.folder):
        for each in trials.study.get_trials(states=(TrialState.RUNNING,)):
            with _running(trials, each.number, wait=False) as free:
                if free and runs(trials, each):
                    print(f'begun again, its process was stopped or killed: trial {each.number}', flush=True)
                    _retry(trials, each)


def _retry(trials: Trials, trial: Any) -> None:
    """Record a trial as failed, and put its values back into the queue, up to `MAX_RETRIES` times."""
    import optuna

    with warnings.catch_warnings(action='ignore'):  # The callback is experimental.
        callback = optuna.storages.RetryHeartbeatStaleTrialCallback(MAX_RETRIES)
    callback(trials.study, trials.study.get_trials()[trial.number])
    trials.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


@contextlib.contextmanager
def begun(trials: Trials, most: int) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Begin all trials that are left, but at most ``most``; yield them with their draws.

    A trial without a recorded end after the context counts as killed. The draws of a single process depend on the seed
    alone.
    """
    from optuna.trial import TrialState

    with contextlib.ExitStack() as running:
        new = []
        with _one_process(trials.folder):
            if trials.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                trials.study.sampler.reseed_rng()  # Another process may have begun with the same seed.
            for _ in range(min(most, left(trials))):
                trial = trials.study.ask()
                running.enter_context(_running(trials, trial.number))
                new.append((trial, spaces.draw(trial, trials.settings.space)))
                trial.set_user_attr('drawn', new[-1][1])
        yield new


def run_trials(trials: Trials, objective: Objective) -> None:
    """Run the trials one by one until none is left to begin, and print how each ended.

    After an exception the trial counts as failed, and the next one begins. After an interruption the values are put
    back into the queue, and the interruption is raised again.
    """
    while left(trials):
        with begun(trials, 1) as new:
            for trial, drawn in new:
                try:
                    outcome: float | Exception = objective(trial, drawn)
                except (KeyboardInterrupt, InterruptedRunError):
                    _retry(trials, trial)
                    raise
                except Exception as error:
                    outcome = error
                record(trials, trial, outcome)


def report(trial: Any, value: float, step: int) -> None:
    """Report the objective of a running trial after a step.

    Raises:
      optuna.TrialPruned: the pruner gives the trial up.
    """
    from optuna import TrialPruned

    trial.report(value, step)
    if trial.should_prune():
        raise TrialPruned


def ended(trials: Trials) -> list[Any]:
    """Return the trials that have ended, with any outcome, and were not begun again; in order."""
    known = trials.study.get_trials(deepcopy=False)
    retried = {number for each in known for number in each.system_attrs.get('retry_history', ())}
    return [each for each in known if each.state.is_finished() and each.number not in retried]


def left(trials: Trials) -> int:
    """Return how many trials are left to begin, >= 0."""
    running = sum(each.state.name == 'RUNNING' for each in trials.study.get_trials(deepcopy=False))
    return max(0, trials.settings.num_trials - len(ended(trials)) - running)


def first_number(frozen: Any) -> int:
    """Return the number under which a recorded trial was begun for the first time."""
    return int(frozen.system_attrs.get('failed_trial', frozen.number))


def frozen(trials: Trials, trial: Any) -> Any:
    """Return the recorded state of a trial."""
    return trials.study.get_trials(deepcopy=False)[trial.number]


def runs(trials: Trials, trial: Any) -> bool:
    """Return whether a trial is still running, that is, has no recorded end."""
    return not frozen(trials, trial).state.is_finished()


def record(trials: Trials, trial: Any, outcome: float | Exception) -> None:
    """Record and print the end of a trial: its value, or the error that ended it, such as ``optuna.TrialPruned``.

    Raises:
      ObjectiveError: this is the error.
    """
    from optuna import TrialPruned
    from optuna.trial import TrialState

    if isinstance(outcome, TrialPruned):
        trials.study.tell(trial, state=TrialState.PRUNED)
    elif isinstance(outcome, Exception):
        trial.set_user_attr('reason', _reason(outcome))
        trials.study.tell(trial, state=TrialState.FAIL)
    else:
        with warnings.catch_warnings(action='ignore'):  # NaN counts as failed.
            trials.study.tell(trial, outcome)
    say(frozen(trials, trial))
    if isinstance(outcome, ObjectiveError):
        raise outcome


def say(trial: Any) -> None:
    """Print a line about a trial that has ended."""
    value = 'no value' if trial.value is None else f'{trial.value:.6g}'
    print(f'trial {trial.number}: {trial.state.name.lower()}, {trial.user_attrs.get("reason") or value}', flush=True)


def _reason(error: BaseException) -> str:
    """Return an exception as one line."""
    first = first_line(error)
    return first if isinstance(error, InputError | RunError) else f'{type(error).__name__}: {first}'
