"""The results of a stage: numbers, and findings with stable codes from the table ``findings.toml``."""

import dataclasses
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

__all__ = ['CODES', 'TABLE', 'Finding', 'Stage', 'finding']

TABLE = tomllib.loads(resources.files('hyperinr.checking').joinpath('findings.toml').read_text(encoding='utf-8'))
"""Name -> meaning, message, remedy, and whether it is a note."""
CODES: Mapping[str, str] = {name: row['meaning'] for name, row in TABLE.items() if 'meaning' in row}
"""Code -> meaning. Codes are stable: scripts may rely on them."""


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
