"""`hyperinr tune`: Optuna's trials over the bindings of a config, kept in a folder, by any number of processes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperinr import config, library
from hyperinr.errors import InputError, RunError
from hyperinr.files import check_writable_folder, replacing
from hyperinr.neural_datasets import tuning
from hyperinr.neural_datasets.description import config_hash
from hyperinr.searching import space as spaces
from hyperinr.searching import study as studies

__all__ = ['tune']


def tune(
    name: str,
    bindings: Sequence[str],
    folder: str | os.PathLike,
    *,
    storage: str = 'journal',
    trials: int | None = None,
) -> Path:
    """Begins a search or goes on with it, until it has its trials; prints the best.

    Run it in several processes at once to share the trials. The trial of a process that was killed is recorded as
    failed and begun again.

    Args:
      name: of a config that binds ``tuning.search``.
      bindings: that override it.
      folder: keeps the trials, and ``best.gin``, a complete config for ``hyperinr fit``.
      storage: ``'journal'``, a file that also network file systems can share, or ``'sqlite'``.
      trials: instead of the config's.

    Returns:
      ``best.gin``.

    Raises:
      InputError: a wrong config, another search in the folder, no permission, or Optuna is missing.
      RunError: no trial came to an end.
    """
    optuna = studies.check_optuna()
    if storage not in studies.STORAGES:
        raise InputError(f'--storage {storage!r} is none of {", ".join(studies.STORAGES)}.')
    base = config.load_config(name, bindings)
    found = library.compose_search(base)
    for _, drawn in spaces.probes(found.space):
        config.load_config(name, [*bindings, *spaces.bindings(drawn)])
    tuning.check_objective(library.compose_job(base), found)
    folder = check_writable_folder(folder)
    opened = studies.open_trials(
        folder,
        found.space,
        total=trials or found.num_trials,
        direction=tuning.OBJECTIVES[found.objective],
        digest=config_hash(base.text),
        storage=storage,
        seed=found.seed,
    )
    studies.requeue_lost(opened)

    def objective(trial: Any, drawn: spaces.Draw) -> float:
        chosen = config.load_config(name, [*bindings, *spaces.bindings(drawn)])
        trial.set_user_attr('config', chosen.text)

        def on_chunk(number: int, value: float) -> None:
            trial.report(value, number)
            if trial.should_prune():
                raise optuna.TrialPruned

        return tuning.measure(library.compose_job(chosen), found, on_chunk=on_chunk)

    studies.run_trials(opened, objective, catch=(RunError,), on_end=_say)
    complete = opened.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if not complete:
        raise RunError(f'none of {opened.total} trials came to an end; widen the space or lower the target.')
    top = opened.study.best_trial
    best = folder / 'best.gin'
    summary = f'# {found.objective} {top.value:.6g}, the best of {len(complete)} complete trials of {name}.\n'
    with replacing(best) as temporary:
        temporary.write_text(summary + top.user_attrs['config'], encoding='utf-8')
    print(f'best {found.objective}: {top.value:.6g} with {spaces.shown(spaces.restored(top.params, found.space))}')
    print(best)
    return best


def _say(trial: Any) -> None:
    value = 'no value' if trial.value is None else f'{trial.value:.6g}'
    print(f'trial {trial.number}: {trial.state.name.lower()}, {value}', flush=True)
