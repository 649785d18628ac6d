"""The trials of a search. Optuna stores them in one folder for any number of processes, and any end can be resumed.

Optuna's retry callback begins a trial whose process was killed again, with the same values. Killed trials are found in
two ways. First, every running trial in an SQLite file has a heartbeat, and the other processes notice when it stops.
Second, every working process holds a shared lock on a file of the folder. If no process holds it, all trials marked as
running were killed. This also covers journal files and trials of one program, which have no heartbeat, and a resumed
search need not wait for a heartbeat to expire.

Optuna is imported when a study is opened (``pip install hyperinr[tune]``).
"""

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import ReadWriteLock, Timeout

from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.runtime.locks import locked
from hyperinr.searching import space as spaces
from hyperinr.searching.space import Draw, Space

__all__ = [
    'PRUNERS',
    'SAMPLERS',
    'Objective',
    'Settings',
    'Trials',
    'ask',
    'check_storage',
    'ended',
    'first_number',
    'frozen',
    'left',
    'open_trials',
    'record',
    'retry_lost',
    'run_trials',
    'runs',
    'say',
    'settings',
    'work_off',
    'working',
]

DIRECTIONS = ('maximize', 'minimize')
SAMPLERS = ('tpe', 'random', 'grid')
PRUNERS = ('median', 'hyperband', 'none')
FILES = {'sqlite': 'study.db', 'journal': 'journal.log'}
STUDY = 'hyperinr'
NUM_FREE_TRIALS = 5
"""Complete trials before their median prunes others."""
MAX_RETRIES = 3
"""Most retries of a trial whose process was killed: the trial itself may cause it."""
HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60
"""Time without a heartbeat after which a trial counts as killed: longer than tracing a large model takes."""
DATABASE_SECONDS = 60
"""Longest wait of a process while others write to the SQLite file."""
POLL_SECONDS = 1.0

Objective = Callable[[Any, Draw], float]
"""``(trial, draw) -> value``; may report to the trial and raise ``optuna.TrialPruned``."""


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
      settings: settings of the search.
      total: number of trials to end, with any outcome.
    """

    study: Any
    folder: Path
    settings: Settings
    total: int


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
    try:
        import optuna
    except ImportError:
        raise InputError('searching needs Optuna; install hyperinr[tune].') from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_trials(
    folder: str | os.PathLike,
    settings: Settings,
    *,
    digest: str,
    storage: str | None = None,
    total: int | None = None,
    resources: tuple[int, int] = (1, 100),
) -> Trials:
    """Begin a search in ``folder``, or open the one in it.

    Args:
      folder: an existing folder.
      settings: settings of the search.
      digest: digest of everything that affects a trial's figures. A folder belongs to one digest.
      storage: ``'sqlite'``, or ``'journal'``, a file that network file systems can share too; ``None``: the storage in
        the folder, else SQLite.
      total: number of trials to end, >= 1, instead of that of the settings. A grid has at most its points.
      resources: training steps at the first report and at the end, for hyperband.

    Raises:
      InputError: the storage is unknown, the folder holds another search, or Optuna is missing.
    """
    optuna = check_storage(storage)
    folder = Path(folder)
    held = next((name for name, file in FILES.items() if (folder / file).exists()), None)
    if held and storage not in (None, held):
        raise InputError(f'{folder} keeps its trials in {FILES[held]}; give --storage {held}.')
    total = total or settings.num_trials
    with _one_process(folder):
        study = optuna.create_study(
            storage=_storage(optuna, folder, storage or held or 'sqlite'),
            study_name=STUDY,
            direction=settings.direction,
            pruner=_pruner(optuna, settings.pruner, resources),
            load_if_exists=True,
        )
        if study.user_attrs.get('config_sha256', digest) != digest:
            raise InputError(
                f'{folder} holds a search of another config; give another folder, or the config and space of that one.'
            )
        study.set_user_attr('config_sha256', digest)
        trials = study.get_trials(deepcopy=False)
        if settings.sampler == 'grid':
            points = list(spaces.grid(settings.space))[:total]
            total = len(points)
            for point in points[len([each for each in trials if first_number(each) == each.number]) :]:
                study.enqueue_trial(spaces.stored(point, settings.space))
    # Processes that begin at once must draw different values. A single process draws the same values again.
    alone = not any(each.state == optuna.trial.TrialState.RUNNING for each in trials)
    seed = settings.seed + len(trials) + (0 if alone else os.getpid())
    samplers = optuna.samplers
    tpe = settings.sampler == 'tpe'
    study.sampler = samplers.TPESampler(seed=seed) if tpe else samplers.RandomSampler(seed=seed)
    return Trials(study, folder, settings, total)


def _storage(optuna: Any, folder: Path, storage: str) -> Any:
    path, storages = (folder / FILES[storage]).absolute(), optuna.storages
    if storage == 'journal':
        return storages.JournalStorage(storages.journal.JournalFileBackend(str(path)))
    with warnings.catch_warnings(action='ignore'):  # The heartbeat is experimental.
        return storages.RDBStorage(
            f'sqlite:///{path}',
            engine_kwargs={'connect_args': {'timeout': DATABASE_SECONDS}},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=storages.RetryHeartbeatStaleTrialCallback(MAX_RETRIES),
        )


def _pruner(optuna: Any, name: str, resources: tuple[int, int]) -> Any:
    if name == 'median':
        return optuna.pruners.MedianPruner(n_startup_trials=NUM_FREE_TRIALS)
    if name == 'hyperband':
        least, most = resources
        return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=max(least, most))
    return optuna.pruners.NopPruner()


def _one_process(folder: Path) -> contextlib.AbstractContextManager[bool]:
    """Return a lock under which one process at a time reads and changes the trials."""
    return locked(folder / '.lock')


def work_off(trials: Trials, run: Callable[[], None], *, launches: bool = False) -> None:
    """Call ``run`` until all trials have ended, including those of other processes.

    Args:
      trials: trials of the search.
      run: returns when no trial is left to begin.
      launches: whether ``run`` only starts other processes, which call `working` themselves.
    """
    while len(ended(trials)) < trials.total:
        retry_lost(trials)
        if not left(trials):
            time.sleep(POLL_SECONDS)  # Other processes work on the last trials.
        elif launches:
            run()
        else:
            with working(trials):
                run()


def working(trials: Trials) -> contextlib.AbstractContextManager[None]:
    """Mark this process as working on the trials."""
    return _workers_lock(trials).read_lock()


def _workers_lock(trials: Trials) -> ReadWriteLock:
    """Return the lock that every working process shares."""
    return ReadWriteLock(trials.folder / '.working', is_singleton=False)


def retry_lost(trials: Trials) -> None:
    """Begin the trials again that are marked as running while no process works on trials."""
    from optuna.trial import TrialState

    with contextlib.suppress(Timeout), _workers_lock(trials).write_lock(blocking=False):
        for each in trials.study.get_trials(states=(TrialState.RUNNING,)):
            print(f'begun again, its process was killed: trial {each.number}', flush=True)
            _retry(trials, each.number)
            trials.study.tell(each.number, state=TrialState.FAIL)


def _retry(trials: Trials, number: int) -> None:
    """Put the values of an interrupted trial back into the queue, up to `MAX_RETRIES` times.

    Args:
      trials: trials of the search.
      number: number of the trial, which the caller records as failed.
    """
    import optuna

    with warnings.catch_warnings(action='ignore'):
        callback = optuna.storages.RetryHeartbeatStaleTrialCallback(MAX_RETRIES)
    callback(trials.study, trials.study.get_trials()[number])


def ask(trials: Trials, most: int) -> list[tuple[Any, dict[str, Any]]]:
    """Return new trials and their draws: all that are left to begin, but at most ``most``."""
    with _one_process(trials.folder), warnings.catch_warnings(action='ignore'):  # There is no heartbeat.
        asked = [trials.study.ask() for _ in range(min(most, left(trials)))]
        return [(trial, _draw(trials, trial)) for trial in asked]


def _draw(trials: Trials, trial: Any) -> dict[str, Any]:
    drawn = spaces.draw(trial, trials.settings.space)
    trial.set_user_attr('drawn', drawn)
    return drawn


def run_trials(trials: Trials, objective: Objective) -> None:
    """Run the trials one by one until none is left to begin, and print how each ended.

    After an exception the trial counts as failed, and the next one begins. After an interruption the values are put
    back into the queue, and the interruption is raised again.
    """
    while _run_next(trials, objective):
        pass


def _run_next(trials: Trials, objective: Objective) -> bool:
    """Run one trial, and return whether there was one."""
    from optuna import TrialPruned

    with contextlib.ExitStack() as drawing:
        drawing.enter_context(_one_process(trials.folder))
        if not left(trials):
            return False

        def run(trial: Any) -> float:
            drawn = _draw(trials, trial)
            drawing.close()
            try:
                return objective(trial, drawn)
            except (KeyboardInterrupt, InterruptedRunError):
                _retry(trials, trial.number)
                raise
            except TrialPruned:
                raise
            except Exception as error:
                trial.set_user_attr('reason', _reason(error))
                return math.nan  # Optuna records it as failed.

        trials.study.optimize(run, n_trials=1, callbacks=[lambda study, trial: say(trial)])
    return True


def ended(trials: Trials) -> list[Any]:
    """Return the trials that have ended, with any outcome, and were not begun again; in order."""
    known = trials.study.get_trials(deepcopy=False)
    retried = {number for each in known for number in each.system_attrs.get('retry_history', ())}
    return [each for each in known if each.state.is_finished() and each.number not in retried]


def left(trials: Trials) -> int:
    """Return how many trials are left to begin, >= 0."""
    running = sum(each.state.name == 'RUNNING' for each in trials.study.get_trials(deepcopy=False))
    return max(0, trials.total - len(ended(trials)) - running)


def first_number(frozen: Any) -> int:
    """Return the number under which a recorded trial was begun for the first time."""
    return int(frozen.system_attrs.get('failed_trial', frozen.number))


def frozen(trials: Trials, trial: Any) -> Any:
    """Return the recorded state of a trial."""
    return trials.study.get_trials(deepcopy=False)[trial.number]


def runs(trials: Trials, trial: Any) -> bool:
    """Return whether a trial is still running, that is, has no recorded end."""
    return not frozen(trials, trial).state.is_finished()


def record(trials: Trials, trial: Any, *, value: float | None = None, error: Exception | None = None) -> None:
    """Record and print the end of a trial of `ask`: its value, its error, or neither if it was pruned."""
    from optuna.trial import TrialState

    if error is not None:
        trial.set_user_attr('reason', _reason(error))
        trials.study.tell(trial, state=TrialState.FAIL)
    elif value is None:
        trials.study.tell(trial, state=TrialState.PRUNED)
    else:
        trials.study.tell(trial, value)
    say(frozen(trials, trial))


def say(trial: Any) -> None:
    """Print a line about a trial that has ended."""
    value = 'no value' if trial.value is None else f'{trial.value:.6g}'
    print(f'trial {trial.number}: {trial.state.name.lower()}, {trial.user_attrs.get("reason") or value}', flush=True)


def _reason(error: BaseException) -> str:
    """Return an exception as one line."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first if isinstance(error, InputError | RunError) else f'{type(error).__name__}: {first}'
