"""Terminal output of long work: a progress bar or plain lines, and the closing table."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

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
      console: console to print to; ``None``: standard output.
      quiet: print nothing, for all processes of a run except process 0.
      task: name of the task, one word.
      unit: name of the counted unit, in the singular.
    """

    def __init__(
        self,
        *,
        start: int,
        total: int,
        console: Console | None = None,
        quiet: bool = False,
        task: str = 'training',
        unit: str = 'step',
    ):
        self.console = console or Console(quiet=quiet)
        self._start, self._total, self._unit = start, total, unit
        self._bar: Progress | None = None
        if self.console.is_terminal and not quiet:
            speed, shown = TextColumn('{task.fields[speed]}'), TextColumn('{task.fields[shown]}')
            self._bar = Progress(
                TextColumn(task), BarColumn(), MofNCompleteColumn(), speed, shown, console=self.console
            )
            self._task = self._bar.add_task(task, total=total, completed=start, speed='', shown='')

    @property
    def has_bar(self) -> bool:
        """Whether a bar is shown, as on a terminal."""
        return self._bar is not None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Print one line for the user, above the bar if there is one, never wrapped."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Move the bar; without a bar do nothing."""
        if self._bar is not None:
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
        if self._bar is None:
            self.say(f'{self._unit} {step}/{self._total}  {speed}  {shown}'.rstrip())
        else:
            self._bar.update(self._task, completed=step, speed=speed, shown=shown)


def print_table(title: str, rows: Sequence[tuple[str, str]], console: Console | None = None) -> None:
    """Print a short table of names and values."""
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify='right')
    for row in rows:
        table.add_row(*row)
    (console or Console()).print(table)
