"""The trials of a search: kept by Optuna in one folder, shared by any number of processes, picked up after any end.

A process that works on trials holds a lock for as long as it lives (`working`), and every trial names its process. A
trial that is marked as running while nobody holds the lock of its process was killed: it is recorded as failed and its
draw is put back in the queue (`requeue_lost`). So nothing needs to be cleaned up after a kill, a power cut included.

Optuna is imported when a study is opened (``pip install hyperinr[tune]``).
"""

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hyperinr.errors import InputError, RunError
from hyperinr.locks import locked
from hyperinr.searching import space as spaces
from hyperinr.searching.space import Draw, Space

__all__ = [
    'PRUNERS',
    'SAMPLERS',
    'STORAGES',
    'Trials',
    'ask',
    'check_optuna',
    'ended',
    'fail',
    'frozen',
    'is_counted',
    'left',
    'open_trials',
    'reason_of',
    'requeue',
    'requeue_lost',
    'run_trial',
    'run_trials',
    'working',
]

SAMPLERS = ('tpe', 'random', 'grid')
PRUNERS = ('median', 'hyperband', 'none')
FILES = {'journal': 'journal.log', 'sqlite': 'study.db'}
STORAGES = tuple(FILES)
STUDY = 'hyperinr'
NUM_FREE_TRIALS = 5
"""Complete trials before the median of them prunes another."""
MAX_RETRIES = 3
"""Of a draw whose process was killed: one that kills it every time is a failure of its own."""


class Trials(NamedTuple):
    """An open search.

    Attributes:
      study: of Optuna.
      folder: that keeps it.
      space: what is drawn.
      total: trials to end, however they end.
    """

    study: Any
    folder: Path
    space: Space
    total: int


def check_optuna() -> Any:
    """The package, its chatter switched off.

    Raises:
      InputError: it is missing.
    """
    try:
        import optuna
    except ImportError:
        raise InputError('searching needs Optuna; install hyperinr[tune].') from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_trials(
    folder: str | os.PathLike,
    space: Space,
    *,
    total: int,
    direction: str,
    digest: str,
    storage: str = 'journal',
    sampler: str = 'tpe',
    pruner: str = 'median',
    resources: tuple[int, int] = (1, 100),
    seed: int = 0,
) -> Trials:
    """Begins a search in ``folder`` or opens the one that it holds.

    Args:
      folder: exists.
      space: what is drawn.
      total: trials to end, >= 1; a grid has as many as it has points, and no more than this.
      direction: ``'maximize'`` or ``'minimize'``.
      digest: of all that decides a trial's figures; a folder belongs to one.
      storage: ``'journal'``, a file that network file systems can share, too, or ``'sqlite'``.
      sampler: ``'tpe'`` (Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization" (2011)),
        ``'random'`` or ``'grid'``.
      pruner: ``'median'`` of the complete trials, ``'hyperband'`` (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar,
        "Hyperband" (2018)) or ``'none'``.
      resources: steps of training at the first report and at the end, for hyperband.
      seed: of the draws.

    Raises:
      InputError: an unknown storage, sampler or pruner, another search in the folder, or Optuna is missing.
    """
    for what, value, known in (
        ('storage', storage, STORAGES),
        ('sampler', sampler, SAMPLERS),
        ('pruner', pruner, PRUNERS),
    ):
        if value not in known:
            raise InputError(f'{what} {value!r} is none of {", ".join(known)}.')
    optuna = check_optuna()
    folder = Path(folder)
    for other, file in FILES.items():
        if other != storage and (folder / file).exists():
            raise InputError(f'{folder} keeps its trials in {file}; give --storage {other}.')
    if storage == 'journal':
        kept: Any = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(folder / FILES[storage]))
        )
    else:
        kept = f'sqlite:///{(folder / FILES[storage]).absolute()}'
    with _alone(folder):
        study = optuna.create_study(
            storage=kept,
            study_name=STUDY,
            direction=direction,
            pruner=_pruner(optuna, pruner, resources),
            load_if_exists=True,
        )
        if study.user_attrs.get('config_sha256', digest) != digest:
            raise InputError(
                f'{folder} holds a search of another config; give another folder, or the config and space of that one.'
            )
        study.set_user_attr('config_sha256', digest)
        trials = study.get_trials(deepcopy=False)
        if sampler == 'grid':
            points = list(spaces.grid(space))[:total]
            total = len(points)
            for point in points[len([each for each in trials if 'retry_of' not in each.user_attrs]) :]:
                study.enqueue_trial(spaces.stored(point, space))
    # Processes that begin at once must not draw the same; one alone draws the same again.
    alone = not any(each.state == optuna.trial.TrialState.RUNNING for each in trials)
    start = seed + len(trials) + (0 if alone else os.getpid())
    samplers = optuna.samplers
    study.sampler = samplers.TPESampler(seed=start) if sampler == 'tpe' else samplers.RandomSampler(seed=start)
    return Trials(study, folder, space, total)


def _pruner(optuna: Any, name: str, resources: tuple[int, int]) -> Any:
    if name == 'median':
        return optuna.pruners.MedianPruner(n_startup_trials=NUM_FREE_TRIALS)
    if name == 'hyperband':
        least, most = resources
        return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=max(least, most))
    return optuna.pruners.NopPruner()


def _alone(folder: Path) -> contextlib.AbstractContextManager:
    """One process at a time, for what must be looked at and changed in one go."""
    return locked(folder / '.lock')


@contextlib.contextmanager
def working(trials: Trials) -> Iterator[str]:
    """The name of this process among those that work on the trials, alive for as long as the context lasts."""
    name = f'{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}'
    with locked(trials.folder / 'workers' / name):
        yield name


def _is_alive(folder: Path, worker: str) -> bool:
    path = folder / 'workers' / worker
    if not path.exists():
        return False
    with locked(path, wait=False) as held:
        return not held


def ask(trials: Trials, worker: str, most: int = 1) -> list[tuple[Any, dict[str, Any]]]:
    """New trials and their draws, as many as are left to begin and at most ``most``.

    Args:
      trials: of the search.
      worker: this process, see `working`.
      most: >= 1.
    """
    with _alone(trials.folder):
        found = []
        for _ in range(min(most, left(trials))):
            trial = trials.study.ask()
            trial.set_user_attr('worker', worker)
            found.append((trial, spaces.draw(trial, trials.space)))
        return found


def left(trials: Trials) -> int:
    """How many trials are left to begin, >= 0."""
    known = trials.study.get_trials(deepcopy=False)
    return max(0, trials.total - sum(each.state.name == 'RUNNING' or is_counted(each) for each in known))


def is_counted(trial: Any) -> bool:
    """Whether a trial has ended, and not by being put back in the queue."""
    return bool(trial.state.is_finished()) and 'requeued' not in trial.user_attrs


def ended(trials: Trials) -> list[Any]:
    """Trials that have ended, whichever way, in order."""
    return [each for each in trials.study.get_trials(deepcopy=False) if is_counted(each)]


def fail(trials: Trials, trial: Any, reason: str) -> None:
    """Records a trial as failed, and why."""
    from optuna.trial import TrialState

    trial.set_user_attr('reason', reason)
    trials.study.tell(trial, state=TrialState.FAIL)


def requeue(trials: Trials, frozen: Any, reason: str) -> None:
    """Records a trial as failed through no fault of its own, and puts its draw back in the queue.

    After `MAX_RETRIES` it is a failure like others.

    Args:
      trials: of the search.
      frozen: as ``Study.get_trials`` gives it, running.
      reason: for the record.
    """
    import optuna

    trial = optuna.trial.Trial(trials.study, frozen._trial_id)
    retries = frozen.user_attrs.get('retries', 0)
    if retries < MAX_RETRIES:
        drawn = spaces.restored(frozen.params, trials.space)
        whole = sum(each.active(drawn) for each in trials.space) == len(drawn)
        # A process may have been killed while it drew; a point of a grid stands in the queue's own record.
        params = frozen.params if whole else frozen.system_attrs.get('fixed_params', {})
        trial.set_user_attr('requeued', True)
        first = frozen.user_attrs.get('retry_of', frozen.number)
        trials.study.enqueue_trial(params, user_attrs={'retry_of': first, 'retries': retries + 1})
    fail(trials, trial, reason)


def requeue_lost(trials: Trials) -> list[int]:
    """Requeues the trials whose process is gone; their numbers."""
    from optuna.trial import TrialState

    with _alone(trials.folder):
        lost = []
        for each in trials.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # A trial gets its process under the lock that is held here: one without was killed in between.
            worker = each.user_attrs.get('worker')
            if worker is None or not _is_alive(trials.folder, worker):
                requeue(trials, each, 'its process was killed')
                lost.append(each.number)
        return lost


def run_trials(
    trials: Trials,
    objective: Callable[[Any, Draw], float],
    *,
    catch: tuple[type[Exception], ...],
    on_end: Callable[[Any], None] = lambda trial: None,
) -> None:
    """Works on the trials one by one until none is left to begin.

    Args:
      trials: of the search.
      objective: ``(trial, draw) -> value``; reports to the trial and raises ``optuna.TrialPruned`` as it likes.
      catch: what makes a trial a failed one. Anything else, an interruption too, puts it back in the queue and goes on
        to the caller.
      on_end: gets each trial as it is recorded.
    """
    with working(trials) as worker:
        while found := ask(trials, worker):
            run_trial(trials, *found[0], objective, catch=catch, on_end=on_end)


def run_trial(
    trials: Trials,
    trial: Any,
    drawn: Draw,
    objective: Callable[[Any, Draw], float],
    *,
    catch: tuple[type[Exception], ...],
    on_end: Callable[[Any], None] = lambda trial: None,
) -> None:
    """One trial of `run_trials`, from `ask`."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    try:
        value = objective(trial, drawn)
    except TrialPruned:
        trials.study.tell(trial, state=TrialState.PRUNED)
    except catch as error:
        fail(trials, trial, reason_of(error))
    except BaseException as error:
        requeue(trials, frozen(trials, trial), f'interrupted: {reason_of(error)}')
        raise
    else:
        trials.study.tell(trial, value)
    on_end(frozen(trials, trial))


def frozen(trials: Trials, trial: Any) -> Any:
    """A trial as it is recorded."""
    return next(each for each in trials.study.get_trials(deepcopy=False) if each.number == trial.number)


def reason_of(error: BaseException) -> str:
    """An exception in one line."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first if isinstance(error, InputError | RunError) else f'{type(error).__name__}: {first}'
