"""Reports of the checks, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from hyperinr.checking.findings import Stage
from hyperinr.errors import RunError
from hyperinr.runtime.files import plain

__all__ = ['as_json', 'lines', 'raise_if_any']

SHOWN = {'pass': 'pass', 'fail': 'FAIL', 'not reached': '----'}


def lines(stage: Stage) -> list[str]:
    """Return a stage as lines of text: its outcome, then each finding with its remedy.

    Example:
      >>> lines(Stage(2, 'one INR alone', '30.1 dB', seconds=3.2))
      ['2  pass  one INR alone: 30.1 dB (3 s)']
    """
    head = f'{stage.number}  {SHOWN[stage.outcome]}  {stage.name}'
    if not stage.reached:
        return [f'{head}: not reached']
    shown = [f'{head}{": " if stage.summary else ""}{stage.summary} ({stage.seconds:.0f} s)']
    for each in stage.findings:
        kind, remedy = '' if each.is_problem else 'note: ', f'{each.remedy[:1].upper()}{each.remedy[1:]}'
        shown.append(f'         {each.code}  {kind}{each.message}. {remedy}.')
    return shown


def as_json(stages: Sequence[Stage]) -> dict[str, Any]:
    """Return ``{'passed': ..., 'codes': [...], 'stages': [...]}``; codes are of problems, NaN is null."""
    rows = [
        {
            'stage': stage.number,
            'name': stage.name,
            'outcome': stage.outcome,
            'summary': stage.summary,
            'seconds': stage.seconds,
            'findings': [each._asdict() for each in stage.findings],
            'numbers': stage.numbers,
        }
        for stage in stages
    ]
    return plain({'passed': all(stage.passed for stage in stages), 'codes': _codes(stages), 'stages': rows})


def raise_if_any(stages: Sequence[Stage]) -> None:
    """Raise an error that names the failed stage in one line.

    Raises:
      RunError: a stage failed.
    """
    for stage in stages:
        if stage.outcome == 'fail':
            raise RunError(f'stage {stage.number}, {stage.name}, fails: {", ".join(_codes(stages))}.')


def _codes(stages: Sequence[Stage]) -> list[str]:
    return [each.code for stage in stages for each in stage.findings if each.is_problem]
