"""Print the figures of an evaluation as a table in the terminal, beside those of the previous one."""

from collections.abc import Mapping

from rich.table import Column, Table

from hyperinr.errors import InputError
from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['console_table']


def console_table(*, max_rows: int = 20) -> Logger:
    """Print a table after each evaluation with figures: their values now and in the previous evaluation.

    Args:
      max_rows: maximum number of figures, >= 1; the last row counts the others.

    Raises:
      InputError: ``max_rows`` is below 1.
    """
    if max_rows < 1:
        raise InputError(f'console_table.max_rows is {max_rows}; it must be at least 1.')

    def open_tables(facts: RunFacts) -> OpenLogger:
        latest: dict[str, Mapping[str, float]] = {}

        def write(record: Record) -> None:
            figures, before = record.findings.figures, latest.get(record.kind, {})
            if record.kind in ('train', 'time') or not figures:
                return
            now_and_before = Column('now', justify='right'), Column('before', justify='right')
            table = Table('figure', *now_and_before, title=f'{record.kind} at step {record.step}')
            for name, value in list(figures.items())[:max_rows]:
                table.add_row(name, f'{value:.4g}', f'{before[name]:.4g}' if name in before else '')
            if len(figures) > max_rows:
                table.add_row(f'and {len(figures) - max_rows} more in metrics.jsonl')
            facts.console.print(table)
            latest[record.kind] = figures

        return OpenLogger(write)

    return Logger('console_table', open_tables)
