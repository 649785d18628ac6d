"""The search of ``hyperinr sweep``: every trial trains a run, in any number of processes or several in one program."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from hyperinr import config, library
from hyperinr.arguments import check_least
from hyperinr.config.values import Config
from hyperinr.errors import InputError
from hyperinr.launching import launch_local, launch_ray
from hyperinr.searching import study as studies
from hyperinr.searching.search import CONFIG, begin, check_bindings, conclude, kept, open_search
from hyperinr.searching.space import Draw
from hyperinr.searching.space_file import figure, find_space, read_space
from hyperinr.searching.study import Objective, Trials
from hyperinr.searching.vmapped import difference, run_vmapped
from hyperinr.training import loop
from hyperinr.training.watching.evaluators import held_out_psnr
from hyperinr.training.watching.loggers import Record
from hyperinr.training.watching.loggers.jsonl import FILE, read_metrics

__all__ = ['sweep']

SPACE = 'space.toml'
LAUNCHERS = {'local': launch_local, 'ray': launch_ray}
AUTOMATIC_MEMBERS = 8
"""Default number of trials in one program."""


def sweep(
    name: str,
    overrides: Sequence[str],
    folder: str | os.PathLike,
    *,
    space: str | os.PathLike,
    num_workers: int = 1,
    launcher: str = 'local',
    vmapped: int | None = None,
    storage: str | None = None,
    num_trials: int | None = None,
) -> Path:
    """Begin or continue a search until it has its trials; print the best and write the results.

    The folder gets ``best.gin`` (a config for ``hyperinr train``), ``trials.json``, ``index.html`` and, below
    ``trials/``, the run of every trial. The same call continues a search after any end. Interrupted trials are recorded
    as failed and begun again, from their last checkpoint if there is one.

    Args:
      name: name of a config that trains.
      overrides: its overrides, for all trials.
      folder: new folder, or the folder of the same search.
      space: the space file, see `hyperinr.searching.space_file`.
      num_workers: number of processes, >= 1; a single one is this process.
      launcher: where the workers run: ``'local'`` or ``'ray'``.
      vmapped: number of trials in one program, for trials that differ only in their seed and in numbers of the outer
        optimiser; 1: never. ``None``: eight, if the space changes nothing else and there is one worker.
      storage: ``'sqlite'`` or ``'journal'``; ``None``: the storage in the folder, else SQLite.
      num_trials: number of trials instead of that of the space file.

    Returns:
      Path of ``best.gin``.

    Raises:
      InputError: config, space or folder is wrong, or a package is missing. It is raised before any trial.
      RunError: no trial is complete.
    """
    if launcher not in LAUNCHERS:
        raise InputError(f'--launcher {launcher!r} is none of {", ".join(LAUNCHERS)}.')
    check_least(**{'--workers': (num_workers, 1), '--vmapped': (vmapped, 1), '--trials': (num_trials, 1)})
    launches = num_workers > 1 or launcher != 'local'
    if launches and vmapped is not None and vmapped > 1:
        raise InputError('--vmapped runs the trials of one process in one program; leave --workers and --launcher out.')
    settings, base = read_space(space), config.load_config(name, overrides)
    with config.applied(base):
        every, num_steps = config.configured(held_out_psnr)().every, library.compose().num_steps
    if every.unit != 'step':
        raise InputError('a sweep validates after steps: set held_out_psnr.every to a number of steps.')
    boundary_configs = check_bindings(base.text, settings.space)
    trials = open_search(
        base,
        settings._replace(num_trials=num_trials or settings.num_trials),
        folder,
        storage=storage,
        resources=(int(every.amount), num_steps),
        files={SPACE: find_space(space).read_text(encoding='utf-8')},
    )
    if launches:
        command = _worker_command(trials)
        run = lambda: LAUNCHERS[launcher]([command] * num_workers, on_poll=_announcer(trials))
    elif len(studies.ended(trials)) < trials.settings.num_trials and (vmapped or _automatic(boundary_configs)) > 1:
        run = lambda: run_vmapped(trials, vmapped or AUTOMATIC_MEMBERS)
    else:
        run = lambda: studies.run_trials(trials, _objective(trials))
    studies.work_off(trials, run)
    return conclude(trials, base.source.stem)


def _objective(trials: Trials) -> Objective:
    """Make the objective: train a trial's run, from its last checkpoint if any, with the output in ``logs/``."""

    def objective(trial: Any, drawn: Draw) -> float:
        resolved = begin(trials, trial, drawn)
        run_dir, log = kept(trials, trial)[0], trials.folder / 'logs' / f'{trial.number:04d}.txt'
        value_of = lambda record: figure(trials.settings.objective, record)

        def report(record: Record) -> None:
            if record.kind == 'validation':
                value = value_of({**record.findings.figures, **record.findings.curves})
                studies.report(trial, value, record.step)

        try:
            log.parent.mkdir(exist_ok=True)
            with log.open('a', encoding='utf-8') as file, contextlib.redirect_stdout(file), config.applied(resolved):
                train = config.configured(loop.train)
                final = train(library.compose(), run_dir, config_text=resolved.text, report=report)
        finally:
            jax.clear_caches()  # Otherwise the compiled programs of all trials stay in memory.
        # Read the file: a run that was killed between its last step and its end reports nothing more.
        records = read_metrics(run_dir / FILE, until_step=int(final.step))
        return value_of([each for each in records if each['kind'] == 'validation'][-1])

    return objective


def _worker_command(trials: Trials) -> list[str]:
    """Return the command of a process that runs trials of the search one by one."""
    folder = trials.folder.absolute()
    files = [str(folder / CONFIG), '--space', str(folder / SPACE), '--run', str(folder)]
    options = ['--trials', str(trials.settings.num_trials), '--vmapped', '1']
    return [sys.executable, '-P', '-m', 'hyperinr', 'sweep', *files, *options]


def _automatic(boundary_configs: Sequence[tuple[str, Config]]) -> int:
    """Return the number of trials in one program: above 1 if all draws of the space give the same program."""
    (_, first), *others = boundary_configs
    for binding, resolved in others:
        different = difference(first, resolved)
        if different:
            print(f'trials run one by one: {binding} changes {different} (--workers N runs several at once)')
            return 1
    return AUTOMATIC_MEMBERS


def _announcer(trials: Trials) -> Callable[[], None]:
    """Return a function that prints the trials that ended since its last call, for a process that only launches."""
    known = {each.number for each in studies.ended(trials)}

    def announce() -> None:
        for trial in studies.ended(trials):
            if trial.number not in known:
                known.add(trial.number)
                studies.say(trial)

    return announce
