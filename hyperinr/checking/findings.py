"""What a stage says: findings with stable codes from one table, ``findings.toml``, and the numbers behind them."""

import dataclasses
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

__all__ = ['CODES', 'TABLE', 'Finding', 'Stage', 'finding']

TABLE = tomllib.loads(resources.files('hyperinr.checking').joinpath('findings.toml').read_text(encoding='utf-8'))
"""Name -> meaning, message and remedy, and whether it is a note."""
CODES: Mapping[str, str] = {name: row['meaning'] for name, row in TABLE.items() if 'meaning' in row}
"""Code -> meaning. Codes are stable: scripts may rely on them."""


class Finding(NamedTuple):
    """One thing that was noticed.

    Attributes:
      code: a key of `CODES`.
      message: what is wrong, where, with numbers; one sentence without a full stop.
      remedy: what to change.
      numbers: behind the message, JSON-serialisable but for numbers that are not finite.
      is_problem: fails the stage; a note does not.
    """

    code: str
    message: str
    remedy: str
    numbers: Mapping[str, Any]
    is_problem: bool = True


def finding(name: str, **numbers: Any) -> Finding:
    """Return a finding of the table.

    Args:
      name: a code, or ``'CODE/VARIANT'`` for another message of it.
      numbers: that the message and the remedy name in braces, and any others worth keeping.
    """
    row = TABLE[name]
    message, remedy = (row[part].format(**numbers) for part in ('message', 'remedy'))
    return Finding(name.partition('/')[0], message, remedy, numbers, is_problem=not row.get('note', False))


@dataclasses.dataclass
class Stage:
    """One stage of the checks, filled while it runs.

    Attributes:
      number: 1 to 4.
      name: what it does.
      summary: what was measured, in one line; empty where it was not reached.
      findings: in the order in which they were noticed.
      numbers: all measurements, JSON-serialisable but for numbers that are not finite.
      seconds: that it took.
      reached: whether it ran at all.
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
        """``'pass'``, ``'fail'`` or ``'not reached'``."""
        if not self.reached:
            return 'not reached'
        return 'fail' if any(each.is_problem for each in self.findings) else 'pass'

    @property
    def passed(self) -> bool:
        """Whether it ran and no finding is a problem."""
        return self.outcome == 'pass'

    def find(self, name: str, **numbers: Any) -> None:
        """Adds a `finding`."""
        self.findings.append(finding(name, **numbers))
