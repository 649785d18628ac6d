"""What a search found: the best config, all trials, the importance of parameters, and a page with pictures."""

import warnings
from pathlib import Path
from typing import Any

from hyperinr.errors import RunError
from hyperinr.files import replacing, write_json
from hyperinr.inspection.sweep_report import write_page
from hyperinr.searching import space as spaces
from hyperinr.searching import study as studies
from hyperinr.searching.study import Trials
from hyperinr.sweeping.opened import Sweep, figures_file, trial_folder
from hyperinr.training.logs import print_table

__all__ = ['conclude']

BEST, TRIALS, PAGE = 'best.gin', 'trials.json', 'index.html'


def conclude(found: Sweep) -> Path:
    """Writes what the trials found.

    Raises:
      RunError: none came to an end.
    """
    ended = studies.ended(found.trials)
    complete = [each for each in ended if each.state.name == 'COMPLETE']
    if not complete:
        reasons = [each.user_attrs['reason'] for each in ended if 'reason' in each.user_attrs]
        raise RunError(f'none of {len(ended)} trials came to an end; {reasons[-1] if reasons else "all were pruned"}')
    best, objective = found.trials.study.best_trial, found.wanted.objective
    importance = _importance(found.trials)
    rows = [_row(found, each) for each in ended]
    path = found.folder / BEST
    head = f'# {objective} {best.value:.6g}: trial {best.number}, best of {len(complete)} complete of {len(ended)}.\n'
    with replacing(path) as temporary:
        temporary.write_text(head + best.user_attrs['config'], encoding='utf-8')
    write_json(
        found.folder / TRIALS,
        {'objective': objective, 'best': best.number, 'importance': importance, 'trials': rows},
    )
    page = write_page(
        found.folder / PAGE,
        title=f'{found.base.source.stem}: {objective}',
        objective=objective,
        maximize=found.wanted.direction == 'maximize',
        kinds={each.binding: each.kind for each in found.wanted.space},
        rows=rows,
        importance=importance,
        best=best.number,
    )
    states = [each.state.name.lower() for each in ended]
    table = [(state, str(states.count(state))) for state in ('complete', 'pruned', 'fail') if state in states]
    table += [(f'importance of {name}', f'{share:.2f}') for name, share in importance.items()]
    print_table(str(found.folder), table)
    drawn = spaces.restored(best.params, found.wanted.space)
    print(f'best {objective}: {best.value:.6g} with {spaces.shown(drawn)}')
    print(path)
    print(page)
    return path


def _row(found: Sweep, trial: Any) -> dict[str, Any]:
    drawn = spaces.restored(trial.params, found.wanted.space)
    places = trial_folder(Path(), trial), figures_file(Path(), trial)
    seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    return {
        'number': trial.number,
        'state': trial.state.name.lower(),
        'value': trial.value if trial.state.name == 'COMPLETE' else None,
        'drawn': drawn,
        'reports': {str(step): value for step, value in sorted(trial.intermediate_values.items())},
        'seconds': seconds,
        'reason': trial.user_attrs.get('reason'),
        'kept': [str(path) for path in places if (found.folder / path).exists()],
    }


def _importance(trials: Trials) -> dict[str, float]:
    """Share of each parameter in the variation of the figure among the complete trials; empty where too few tell it.

    PED-ANOVA: Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces" (2023), as Optuna has it.
    """
    from optuna import importance

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Of what it makes of few trials.
        try:
            found = importance.get_param_importances(trials.study)
        except (RuntimeError, ValueError):
            return {}
    return {name: float(share) for name, share in found.items()}
