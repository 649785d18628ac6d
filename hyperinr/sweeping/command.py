"""The command itself: who works on the trials, and what happens before and after."""

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from hyperinr.errors import InputError
from hyperinr.inspection.sweep_report import check_drawing
from hyperinr.launching import launch_local, launch_ray
from hyperinr.searching import study as studies
from hyperinr.searching.study import Trials
from hyperinr.sweeping.in_one_program import run_in_one_program, what_differs
from hyperinr.sweeping.one_by_one import run_one_by_one
from hyperinr.sweeping.opened import CONFIG, SPACE, Sweep, open_sweep, say
from hyperinr.sweeping.results import conclude

__all__ = ['sweep', 'work']

LAUNCHERS = ('local', 'ray')
POLL_SECONDS = 1.0
AUTOMATIC_MEMBERS = 8
"""Trials in one program where nobody says how many."""


def sweep(
    name: str,
    overrides: Sequence[str],
    folder: str | os.PathLike,
    *,
    space: str | os.PathLike,
    num_workers: int = 1,
    launcher: str = 'local',
    vmapped: int | None = None,
    storage: str = 'journal',
    num_trials: int | None = None,
) -> Path:
    """Begins a search or goes on with it until it has its trials; prints the best and writes what was found.

    The folder gets ``best.gin``, a config for ``hyperinr train``, ``trials.json``, ``index.html`` and, below
    ``trials/``, the run of every trial. The same call after any end goes on: trials that were under way are recorded
    as failed and begun again, from their last checkpoint where they have one.

    Args:
      name: of a config that trains.
      overrides: of it, for all trials.
      folder: new, or of the same search.
      space: the space file, see `hyperinr.sweeping.space_file`.
      num_workers: processes, >= 1; one is this process.
      launcher: where they run: ``'local'`` or ``'ray'``.
      vmapped: trials that run in one program where their updates differ in numbers only; 1: never; ``None``: eight,
        if that holds for all that the space changes and there is one worker.
      storage: ``'journal'`` or ``'sqlite'``.
      num_trials: instead of the space file's.

    Returns:
      ``best.gin``.

    Raises:
      InputError: a wrong config, space or folder, or a missing package; before any trial.
      RunError: no trial came to an end.
    """
    if launcher not in LAUNCHERS:
        raise InputError(f'--launcher {launcher!r} is none of {", ".join(LAUNCHERS)}.')
    for option, value in (('--workers', num_workers), ('--vmapped', vmapped), ('--trials', num_trials)):
        if value is not None and value < 1:
            raise InputError(f'{option} {value} must be 1 or more.')
    if vmapped is not None and vmapped > 1 and (num_workers > 1 or launcher != 'local'):
        raise InputError('--vmapped runs the trials of one process in one program; leave --workers and --launcher out.')
    if storage not in studies.STORAGES:
        raise InputError(f'--storage {storage!r} is none of {", ".join(studies.STORAGES)}.')
    studies.check_optuna()
    check_drawing()
    found = open_sweep(name, overrides, folder, space=space, storage=storage, num_trials=num_trials)
    together = vmapped
    while len(studies.ended(found.trials)) < found.trials.total:
        lost = studies.requeue_lost(found.trials)
        if lost:
            print(f'begun again, their process was killed: {", ".join(f"trial {number}" for number in lost)}')
        if not studies.left(found.trials):
            time.sleep(POLL_SECONDS)  # Other processes are at work on the last ones.
        elif num_workers > 1 or launcher != 'local':
            launch = launch_ray if launcher == 'ray' else launch_local
            launch([_worker_command(found, storage)] * num_workers, on_poll=_Watch(found.trials))
        else:
            together = together or _automatic(found)
            work_on = run_one_by_one if together == 1 else functools.partial(run_in_one_program, most=together)
            work_on(found)
    return conclude(found)


def work(folder: str | os.PathLike, *, storage: str, num_trials: int) -> None:
    """One of the processes that `sweep` launches, on a search that it has opened.

    Raises:
      InputError: the folder holds none.
    """
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    folder = Path(folder)
    found = open_sweep(str(folder / CONFIG), (), folder, space=folder / SPACE, storage=storage, num_trials=num_trials)
    studies.requeue_lost(found.trials)  # Of the process in whose place this one was started, too.
    run_one_by_one(found)


def _end_with_parent(parent: int) -> None:
    """A worker whose launcher was killed would go on unseen."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _worker_command(found: Sweep, storage: str) -> list[str]:
    folder, total = str(found.folder.absolute()), str(found.trials.total)
    options = ['--run', folder, '--storage', storage, '--trials', total, '--worker']
    return [sys.executable, '-m', 'hyperinr', 'sweep', str(found.folder.absolute() / CONFIG), *options]


def _automatic(found: Sweep) -> int:
    """How many trials run in one program, by whether all that the space changes leaves the program alike."""
    different = what_differs(found)
    if different is None:
        return AUTOMATIC_MEMBERS
    print(f'trials run one by one: {different} (--workers N runs several at once)')
    return 1


class _Watch:
    """Says which trials have ended, for the process that only launches."""

    def __init__(self, trials: Trials):
        self._trials = trials
        self._known = {each.number for each in studies.ended(trials)}
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + POLL_SECONDS
        for trial in studies.ended(self._trials):
            if trial.number not in self._known:
                self._known.add(trial.number)
                say(trial)
