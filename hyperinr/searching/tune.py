"""The search of ``hyperinr tune``: every trial fits the first signals of a neural dataset."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperinr import config, library
from hyperinr.arguments import check_least
from hyperinr.errors import InputError
from hyperinr.neural_datasets import tuning
from hyperinr.searching import space as spaces
from hyperinr.searching import study as studies
from hyperinr.searching.search import begin, check_bindings, conclude, open_search

__all__ = ['tune']


def tune(
    name: str,
    overrides: Sequence[str],
    folder: str | os.PathLike,
    *,
    storage: str | None = None,
    trials: int | None = None,
) -> Path:
    """Begin or continue a search until it has its trials; print the best.

    Several processes can share the trials. The trial of a killed process is recorded as failed and begun again.

    Args:
      name: name of a config that binds ``tuning.search``.
      overrides: its overrides, for all trials.
      folder: folder for the trials, ``best.gin`` (a complete config for ``hyperinr fit``), ``trials.json`` and
        ``index.html``.
      storage: ``'sqlite'``, or ``'journal'``, a file that network file systems can share too; ``None``: the storage in
        the folder, else SQLite.
      trials: number of trials instead of that of the config.

    Returns:
      Path of ``best.gin``.

    Raises:
      InputError: the config is wrong, the folder holds another search, or a permission or a package is missing.
      RunError: no trial is complete.
    """
    check_least(**{'--trials': (trials, 1)})
    base = config.load_config(name, overrides)
    wanted = library.compose_search(base)
    try:
        parameters = [
            spaces.parameter(each, drawn[0] if drawn else '', drawn[1:]) for each, drawn in wanted.space.items()
        ]
        settings = studies.settings(
            spaces.space(parameters),
            objective=wanted.objective,
            direction=tuning.OBJECTIVES[wanted.objective],
            num_trials=trials or wanted.num_trials,
            seed=wanted.seed,
        )
    except ValueError as error:
        raise InputError(f'tuning.search: {error}') from None
    check_bindings(base.text, settings.space)
    tuning.check_objective(library.compose_job(base), wanted)
    found = open_search(base, settings, folder, storage=storage)

    def objective(trial: Any, drawn: spaces.Draw) -> float:
        on_chunk = lambda number, value: studies.report(trial, value, number)
        return tuning.measure(library.compose_job(begin(found, trial, drawn)), wanted, on_chunk=on_chunk)

    studies.work_off(found, lambda: studies.run_trials(found, objective))
    return conclude(found, base.source.stem)
