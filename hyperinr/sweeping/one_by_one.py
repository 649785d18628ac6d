"""Trials one after the other in this process, each by `hyperinr.training.loop.train` in a folder of its own."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from hyperinr import config, library
from hyperinr.errors import RunError
from hyperinr.searching import study as studies
from hyperinr.searching.space import Draw
from hyperinr.sweeping.opened import Sweep, say, trial_folder
from hyperinr.training import loop
from hyperinr.training.loggers import Record

__all__ = ['CAUGHT', 'objective_of', 'run_one_by_one']

CAUGHT = (Exception,)
"""Whatever ends a trial may be the fault of its values; what ended the last is said if none came to an end."""


def run_one_by_one(found: Sweep) -> None:
    """Works on trials until none is left to begin; what a trial prints goes to ``logs/``."""
    studies.run_trials(found.trials, objective_of(found), catch=CAUGHT, on_end=say)


def objective_of(found: Sweep) -> Callable[[Any, Draw], float]:
    """``(trial, draw) -> value``: the run of a trial, from its last checkpoint where it has one."""

    def objective(trial: Any, drawn: Draw) -> float:
        import optuna

        resolved = found.resolved(drawn)
        trial.set_user_attr('config', resolved.text)
        folder = trial_folder(found.folder, trial)
        values: list[float] = []

        def report(record: Record) -> None:
            if record.kind != 'validation':
                return
            values.append(found.wanted.value({**record.findings.figures, **record.findings.curves}))
            trial.report(values[-1], record.step)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            with _written_to(found.folder / 'logs' / f'{trial.number:04d}.txt'), config.applied(resolved):
                train = config.configured(loop.train)
                train(library.compose(), folder, config_text=resolved.text, report=report)
        finally:
            jax.clear_caches()  # Else the compiled programs of all trials would stay in memory.
        # A run that was killed between its last step and this line is finished and reports nothing more.
        return values[-1] if values else found.wanted.value(_last_validation(folder))

    return objective


@contextlib.contextmanager
def _written_to(path: Path) -> Iterator[None]:
    """What is printed goes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a', encoding='utf-8') as file, contextlib.redirect_stdout(file):
        yield


def _last_validation(run_dir: Path) -> Mapping[str, Any]:
    lines = (run_dir / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
    records = [record for record in map(json.loads, lines) if record.get('kind') == 'validation']
    if not records:
        raise RunError(f'{run_dir} has no validation record.')
    return records[-1]
