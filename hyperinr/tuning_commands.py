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

__all__ = ['tune']

STORAGES = ('journal', 'sqlite')
STUDY = 'hyperinr'


def tune(
    name: str,
    bindings: Sequence[str],
    folder: str | os.PathLike,
    *,
    storage: str = 'journal',
    trials: int | None = None,
) -> Path:
    """Begins a search or goes on with it, until it has its trials; prints the best.

    Run it in several processes at once to share the trials. A process that is killed leaves its trial unfinished, which
    counts for nothing.

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
    try:
        import optuna
    except ImportError:
        raise InputError('tuning needs Optuna; install hyperinr[tune].') from None
    if storage not in STORAGES:
        raise InputError(f'--storage {storage!r} is none of {", ".join(STORAGES)}.')
    base = config.load_config(name, bindings)
    found = library.compose_search(base)
    for each in found.space:
        config.load_config(name, [*bindings, f'{each} = {found.space[each][1]!r}'])
    tuning.check_objective(library.compose_job(base), found)
    total = trials or found.num_trials
    folder = check_writable_folder(folder)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = _study(optuna, folder, storage, base.text, found)

    def objective(trial: Any) -> float:
        chosen = config.load_config(name, [*bindings, *tuning.suggest(trial, found.space)])
        trial.set_user_attr('config', chosen.text)

        def on_chunk(number: int, value: float) -> None:
            trial.report(value, number)
            if trial.should_prune():
                raise optuna.TrialPruned

        return tuning.measure(library.compose_job(chosen), found, on_chunk=on_chunk)

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)
    if len(study.get_trials(states=ended)) < total:
        study.optimize(
            objective,
            callbacks=[optuna.study.MaxTrialsCallback(total, states=ended), _say],
            catch=(RunError,),
        )
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if not complete:
        raise RunError(f'none of {total} trials came to an end; widen the space or lower the target.')
    best = folder / 'best.gin'
    summary = f'# {found.objective} {study.best_value:.6g}, the best of {len(complete)} complete trials of {name}.\n'
    with replacing(best) as temporary:
        temporary.write_text(summary + study.best_trial.user_attrs['config'], encoding='utf-8')
    print(f'best {found.objective}: {study.best_value:.6g} with {_shown(study.best_trial, found)}')
    print(best)
    return best


def _study(optuna: Any, folder: Path, storage: str, text: str, found: tuning.Search) -> Any:
    if storage == 'journal':
        backend = optuna.storages.journal.JournalFileBackend(str(folder / 'journal.log'))
        kept: Any = optuna.storages.JournalStorage(backend)
    else:
        kept = f'sqlite:///{(folder / "study.db").absolute()}'
    study = optuna.create_study(
        storage=kept,
        study_name=STUDY,
        direction=tuning.OBJECTIVES[found.objective],
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        load_if_exists=True,
    )
    digest = config_hash(text)
    if study.user_attrs.setdefault('config_sha256', digest) != digest:
        raise InputError(f'{folder} holds a search of another config; give another --study, or the config of that one.')
    study.set_user_attr('config_sha256', digest)
    trials = study.get_trials(deepcopy=False)
    # Processes that begin at once must not draw the same; one alone draws the same again.
    alone = not any(trial.state == optuna.trial.TrialState.RUNNING for trial in trials)
    study.sampler = optuna.samplers.TPESampler(seed=found.seed + len(trials) + (0 if alone else os.getpid()))
    return study


def _say(study: Any, trial: Any) -> None:
    value = 'no value' if trial.value is None else f'{trial.value:.6g}'
    print(f'trial {trial.number}: {trial.state.name.lower()}, {value}', flush=True)


def _shown(trial: Any, found: tuning.Search) -> str:
    values = []
    for name, value in trial.params.items():
        kind, *choices = found.space[name]
        values.append(f'{name} = {choices[value]!r}' if kind == 'choice' else f'{name} = {value:.4g}')
    return ', '.join(values)
