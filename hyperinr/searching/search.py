"""A search in its folder: the base config, the search space, the trials and the results."""

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperinr import config
from hyperinr.config.reader import load_text
from hyperinr.config.values import Config
from hyperinr.errors import InputError, RunError
from hyperinr.inspection.sweep_report import check_drawing, write_page
from hyperinr.runtime.files import check_writable_folder, replacing, write_json
from hyperinr.runtime.outputs import check_outputs
from hyperinr.runtime.progress import print_table
from hyperinr.searching import space as spaces
from hyperinr.searching import study as studies
from hyperinr.searching.space import Draw, Space
from hyperinr.searching.study import Settings, Trials

__all__ = ['CONFIG', 'begin', 'check_bindings', 'conclude', 'kept', 'open_search']

CONFIG, BEST, TRIALS, PAGE = 'config.gin', 'best.gin', 'trials.json', 'index.html'


def begin(trials: Trials, trial: Any, drawn: Draw) -> Config:
    """Return the config of a trial, and record it in the trial."""
    resolved = config.load_config(str(trials.folder / CONFIG), spaces.bindings(drawn))
    trial.set_user_attr('config', resolved.text)
    return resolved


def kept(trials: Trials, trial: Any) -> tuple[Path, Path]:
    """Return the run directory of a trial, and the file of its figures if it ran with others and has no run.

    A repeated trial continues the run of the first attempt.
    """
    first = studies.first_number(studies.frozen(trials, trial))
    return trials.folder / 'trials' / f'{first:04d}', trials.folder / 'figures' / f'{trial.number:04d}.jsonl'


def check_bindings(text: str, parameters: Space) -> list[tuple[str, Config]]:
    """Read a config with each parameter's values, so that a wrong binding is found before the first trial.

    Args:
      text: canonical text of the config that every trial overrides.
      parameters: the space; `spaces.boundary_draws` gives the values that are read.

    Returns:
      For each value its binding and the config.

    Raises:
      InputError: the config lacks a name (the message suggests the nearest), or cannot read a value.
    """
    try:
        return [
            (each.binding, load_text(text, spaces.bindings(drawn))) for each, drawn in spaces.boundary_draws(parameters)
        ]
    except InputError as error:
        raise InputError(f'[space] {str(error).removeprefix("-p ")}') from None


def open_search(
    base: Config,
    settings: Settings,
    folder: str | os.PathLike,
    *,
    storage: str | None,
    resources: tuple[int, int] = (1, 100),
    files: Mapping[str, str] = {},
) -> Trials:
    """Begin a search, or open the one in ``folder``.

    Args:
      base: the config that trials override; already checked with `check_bindings`.
      settings: settings of the search.
      folder: folder that is new, empty, or of the same search.
      storage: see `study.open_trials`.
      resources: see `study.open_trials`.
      files: name -> text of files to write into a new folder.

    Raises:
      InputError: a package is missing, storage or folder is wrong, or the folder holds another search. Nothing is
        written then.
    """
    studies.check_storage(storage)
    check_drawing()
    folder = Path(folder)
    content = {path.name for path in folder.iterdir() if path.name[0] != '.'} if folder.is_dir() else set()
    held = any(name in content for name in studies.FILES.values())
    if content and (CONFIG not in content or (not held and content - {CONFIG, BEST, PAGE, *studies.RESULTS, *files})):
        raise InputError(f'{folder} is not empty and holds no search; give a new or empty folder.')
    if content and (folder / CONFIG).read_bytes() != base.text.encode():
        raise InputError(f'{folder} holds a search of another config; give another folder, or its own.')
    check_outputs([folder / PAGE])
    check_writable_folder(folder)
    for name, text in {CONFIG: base.text, **files}.items():
        if not (folder / name).is_file():
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding='utf-8')
    # The digest leaves out the number of trials, which may grow, and the way they are chosen.
    content_text = f'{base.text}\n{settings.space}\n{settings.objective} {settings.direction}'
    digest = hashlib.sha256(content_text.encode()).hexdigest()
    return studies.open_trials(folder, settings, digest=digest, storage=storage, resources=resources)


def conclude(trials: Trials, name: str) -> Path:
    """Write the results and print the best trial; return the path of the best config.

    Args:
      trials: the trials of the search.
      name: name of the searched config, for the title of the page.

    Raises:
      RunError: no trial is complete.
    """
    (study, folder, settings), objective = trials, trials.settings.objective
    ended = studies.ended(trials)
    complete = [each for each in ended if each.state.name == 'COMPLETE']
    if not complete:
        reasons = [each.user_attrs['reason'] for each in ended if 'reason' in each.user_attrs]
        raise RunError(f'none of {len(ended)} trials came to an end; {reasons[-1] if reasons else "all were pruned"}')
    if len(ended) > settings.num_trials:
        print(f'{len(ended)} trials have ended, and {settings.num_trials} were asked for: none was added')
    best, importance = study.best_trial, _importance(study)
    rows = [_row(trials, each) for each in ended]
    head = f'# {objective} {best.value:.6g}: trial {best.number}, best of {len(complete)} complete of {len(ended)}.\n'
    with replacing(folder / BEST) as temporary:
        temporary.write_text(head + best.user_attrs['config'], encoding='utf-8')
    write_json(folder / TRIALS, {'objective': objective, 'best': best.number, 'importance': importance, 'trials': rows})
    page = write_page(
        folder / PAGE,
        title=f'{name}: {objective}',
        objective=objective,
        maximize=settings.direction == 'maximize',
        kinds={each.binding: each.kind for each in settings.space},
        rows=rows,
        importance=importance,
        best=best.number,
    )
    states = [each.state.name.lower() for each in ended]
    table = [(state, str(states.count(state))) for state in ('complete', 'pruned', 'fail') if state in states]
    table += [(f'importance of {each}', f'{share:.2f}') for each, share in importance.items()]
    print_table(str(folder), table)
    print(f'best {objective}: {best.value:.6g} with {spaces.shown(best.user_attrs["drawn"])}')
    print(folder / BEST, page, sep='\n')
    return folder / BEST


def _row(trials: Trials, trial: Any) -> dict[str, Any]:
    return {
        'number': trial.number,
        'state': trial.state.name.lower(),
        'value': trial.value if trial.state.name == 'COMPLETE' else None,
        'drawn': trial.user_attrs.get('drawn', {}),
        'reports': {str(step): value for step, value in sorted(trial.intermediate_values.items())},
        'seconds': (trial.datetime_complete - trial.datetime_start).total_seconds(),
        'reason': trial.user_attrs.get('reason'),
        'kept': [str(path.relative_to(trials.folder)) for path in kept(trials, trial) if path.exists()],
    }


def _importance(study: Any) -> dict[str, float]:
    """Return each parameter's share in the variation of the objective over complete trials; empty for too few trials.

    PED-ANOVA: Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces" (2023), as Optuna has it.
    """
    from optuna import importance

    with warnings.catch_warnings(action='ignore'):  # It warns when there are few trials.
        try:
            return {name: float(share) for name, share in importance.get_param_importances(study).items()}
        except (RuntimeError, ValueError):
            return {}
