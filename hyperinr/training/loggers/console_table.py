"""Every figure of an evaluation as a table in the terminal, beside the one before."""

from rich.table import Table

from hyperinr.errors import InputError
from hyperinr.training.loggers.base import Logger, Record, RunFacts

__all__ = ['console_table']


def console_table(*, max_rows: int = 20) -> Logger:
    """Prints a table after each evaluation that finds figures: its figures, now and the time before.

    Args:
      max_rows: figures shown, >= 1; the others are counted.

    Raises:
      InputError: no row.
    """
    if max_rows < 1:
        raise InputError(f'console_table.max_rows is {max_rows}; it must be at least 1.')
    return Logger('console_table', lambda facts: _Tables(facts, max_rows))


class _Tables:
    def __init__(self, facts: RunFacts, max_rows: int):
        self._console, self._max_rows = facts.console, max_rows
        self._before: dict[str, dict[str, float]] = {}

    def write(self, record: Record) -> None:
        if record.kind in ('train', 'time') or not record.findings.figures:
            return
        figures, before = dict(record.findings.figures), self._before.get(record.kind, {})
        table = Table(title=f'{record.kind} at step {record.step}')
        table.add_column('figure')
        table.add_column('now', justify='right')
        table.add_column('before', justify='right')
        for name, value in list(figures.items())[: self._max_rows]:
            table.add_row(name, f'{value:.4g}', f'{before[name]:.4g}' if name in before else '')
        if len(figures) > self._max_rows:
            table.add_row(f'and {len(figures) - self._max_rows} more in metrics.jsonl', '', '')
        self._console.print(table)
        self._before[record.kind] = figures

    def close(self) -> None:
        pass
