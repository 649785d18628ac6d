"""What the ladder found, for people and for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyperinr.checking.findings import Rung
from hyperinr.errors import RunError

__all__ = ['as_json', 'lines', 'raise_if_any']


def lines(rung: Rung) -> list[str]:
    """A rung as lines of text: its outcome, then each finding with its remedy.

    Example:
      >>> lines(Rung(2, 'one INR alone', '30.1 dB', seconds=3.2))
      ['2  pass  one INR alone: 30.1 dB (3 s)']
    """
    if not rung.reached:
        return [f'{rung.number}  ----  {rung.name}: not reached']
    outcome = 'pass' if rung.passed else 'FAIL'
    summary = f': {rung.summary}' if rung.summary else ''
    shown = [f'{rung.number}  {outcome}  {rung.name}{summary} ({rung.seconds:.0f} s)']
    for finding in rung.findings:
        kind = '' if finding.is_problem else 'note: '
        shown.append(f'         {finding.code}  {kind}{finding.message}. {_sentence(finding.remedy)}')
    return shown


def _sentence(text: str) -> str:
    return f'{text[:1].upper()}{text[1:]}.'


def as_json(rungs: Sequence[Rung]) -> dict[str, Any]:
    """``{'passed': ..., 'codes': [...], 'rungs': [...]}``; the codes are those of problems."""
    return {
        'passed': all(rung.passed for rung in rungs),
        'codes': _codes(rungs),
        'rungs': [
            {
                'rung': rung.number,
                'name': rung.name,
                'outcome': 'pass' if rung.passed else 'fail' if rung.reached else 'not reached',
                'summary': rung.summary,
                'seconds': rung.seconds,
                'findings': [
                    {
                        'code': finding.code,
                        'is_problem': finding.is_problem,
                        'message': finding.message,
                        'remedy': finding.remedy,
                        'numbers': _plain(finding.numbers),
                    }
                    for finding in rung.findings
                ],
                'numbers': _plain(rung.numbers),
            }
            for rung in rungs
        ],
    }


def _plain(value: Any) -> Any:
    """For JSON: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def raise_if_any(rungs: Sequence[Rung]) -> None:
    """One line for the whole ladder.

    Raises:
      RunError: a rung failed.
    """
    codes = _codes(rungs)
    if codes:
        failed = next(rung for rung in rungs if rung.reached and not rung.passed)
        raise RunError(f'rung {failed.number}, {failed.name}, fails: {", ".join(codes)}.')


def _codes(rungs: Sequence[Rung]) -> list[str]:
    return [finding.code for rung in rungs for finding in rung.findings if finding.is_problem]
