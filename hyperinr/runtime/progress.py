"""Terminal output of long work: a progress bar or plain lines, and the closing table."""

from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

__all__ = ['ProgressReport', 'duration', 'print_table']


def duration(seconds: float) -> str:
    """Format seconds as ``'1:02:03'`` or ``'2:03'``; ``'unknown time'`` if infinite."""
    if seconds == float('inf'):
        return 'unknown time'
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


class ProgressReport:
    """A bar with rate and time left on a terminal; one plain line for each report elsewhere.

    Args:
      start: steps done before.
      total: steps of the run.
      quiet: print nothing, for all processes of a run except process 0.
      task: name of the task, one word.
      unit: name of the counted unit, in the singular.

    Attributes:
      has_bar: whether a bar is shown.
    """

    def __init__(self, *, start: int, total: int, quiet: bool = False, task: str = 'training', unit: str = 'step'):
        self.console = Console(quiet=quiet, markup=False)
        self._total, self._unit = total, unit
        self.has_bar = self.console.is_terminal and not quiet
        columns = TextColumn('{task.fields[speed]}'), TextColumn('{task.fields[shown]}')
        self._bar = Progress(
            task, BarColumn(), MofNCompleteColumn(), *columns, console=self.console, disable=not self.has_bar
        )
        self._task = self._bar.add_task(task, total=total, completed=start, speed='', shown='')

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print one line for the user, above the bar if there is one, never wrapped."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Move the bar, if there is one."""
        self._bar.update(self._task, completed=step)

    def report(self, step: int, *, step_seconds: float, metrics: Mapping[str, float] | None = None) -> None:
        """Show rate, time left and metrics of the last interval.

        Args:
          step: steps done.
          step_seconds: mean seconds of a step in the interval; infinite if no step was done.
          metrics: scalars by name.
        """
        left = duration((self._total - step) * step_seconds if step < self._total else 0)
        speed = f'{1 / max(step_seconds, 1e-9):.2f} {self._unit}s/s, {left} left'
        shown = '  '.join(f'{name} {value:.4g}' for name, value in (metrics or {}).items())
        self._bar.update(self._task, completed=step, speed=speed, shown=shown)
        if not self.has_bar:
            self.say(f'{self._unit} {step}/{self._total}  {speed}  {shown}'.rstrip())


def print_table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print a short table of names and values."""
    table = Table(Column(), Column(justify='right'), title=title, show_header=False)
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)
