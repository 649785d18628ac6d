"""The results of a stage: numbers, and findings with stable codes from the table ``findings.toml``; text and JSON."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from hyperinr.errors import RunError
from hyperinr.runtime.files import plain

__all__ = ['CODES', 'TABLE', 'Finding', 'Stage', 'as_json', 'finding', 'lines', 'raise_if_any']

TABLE = tomllib.loads(resources.files('hyperinr.checking').joinpath('findings.toml').read_text(encoding='utf-8'))
"""Name -> meaning, message, remedy, and whether it is a note."""
CODES: Mapping[str, str] = {name: row['meaning'] for name, row in TABLE.items() if 'meaning' in row}
"""Code -> meaning. Codes are stable: scripts may rely on them."""
SHOWN = {'pass': 'pass', 'fail': 'FAIL', 'not reached': '----'}
"""Outcome of a stage -> its text."""


class Finding(NamedTuple):
    """A problem or a note.

    Attributes:
      code: a key of `CODES`.
      message: what is wrong and where, with numbers; one sentence without a full stop.
      remedy: what to change.
      numbers: the numbers of the message, JSON-serialisable except for numbers that are not finite.
      is_problem: whether it fails the stage; a note does not.
    """

    code: str
    message: str
    remedy: str
    numbers: Mapping[str, Any]
    is_problem: bool = True


def finding(name: str, **numbers: Any) -> Finding:
    """Return a finding from the table.

    Args:
      name: a code, or ``'CODE/VARIANT'`` for another message of that code.
      numbers: numbers that message and remedy name in braces, and any others worth keeping.
    """
    row = TABLE[name]
    message, remedy = (row[part].format(**numbers) for part in ('message', 'remedy'))
    return Finding(name.partition('/')[0], message, remedy, numbers, is_problem=not row.get('note', False))


@dataclasses.dataclass
class Stage:
    """One stage of the checks, filled while it runs.

    Attributes:
      number: 1 to 4.
      name: what it checks.
      summary: the measurements, in one line; empty if the stage was not reached.
      findings: findings in the order of detection.
      numbers: all measurements, JSON-serialisable except for numbers that are not finite.
      seconds: duration.
      reached: whether the stage ran.
    """

    number: int
    name: str
    summary: str = ''
    findings: list[Finding] = dataclasses.field(default_factory=list)
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    reached: bool = True

    @property
    def outcome(self) -> str:
        """Outcome: ``'pass'``, ``'fail'`` or ``'not reached'``."""
        if not self.reached:
            return 'not reached'
        return 'fail' if any(each.is_problem for each in self.findings) else 'pass'

    @property
    def passed(self) -> bool:
        """Whether the stage ran and no finding is a problem."""
        return self.outcome == 'pass'

    def find(self, name: str, **numbers: Any) -> None:
        """Add a `finding`."""
        self.findings.append(finding(name, **numbers))


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
