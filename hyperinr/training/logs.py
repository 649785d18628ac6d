"""What a run says while it goes: a progress bar or plain lines, ``metrics.jsonl``, and TensorBoard."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from hyperinr.files import disk_errors, replacing

__all__ = ['MetricsFile', 'ProgressReport', 'TensorBoard', 'duration', 'print_table']


def duration(seconds: float) -> str:
    """Seconds -> ``'1:02:03'`` or ``'2:03'``."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


class MetricsFile:
    """``metrics.jsonl``: one JSON object a line, each with its ``step``, on the disk at once.

    Args:
      path: continued if it exists.
      after_step: records beyond it, written by a process that was killed before its next checkpoint, are dropped, as
        is a last line that was cut short.
    """

    def __init__(self, path: str | os.PathLike, *, after_step: int):
        self._path = Path(path)
        if self._path.exists():
            kept = [line for line in self._path.read_text(encoding='utf-8').splitlines() if _step(line) <= after_step]
            with replacing(self._path) as temporary:
                temporary.write_text(''.join(f'{line}\n' for line in kept), encoding='utf-8')
        with disk_errors(self._path):
            self._file = self._path.open('a', encoding='utf-8')

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        """Appends ``{'step': step, **record}``; numbers that are not finite become null.

        Raises:
          RunError: the disk is full.
        """
        line = json.dumps(_plain({'step': step, **record}), allow_nan=False)
        with disk_errors(self._path):
            self._file.write(f'{line}\n')
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def _step(line: str) -> float:
    """Of a record; infinite for a line that is none."""
    try:
        return json.loads(line)['step']
    except (ValueError, KeyError, TypeError):
        return float('inf')


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


class TensorBoard:
    """Scalars and pictures for TensorBoard.

    Args:
      directory: of the event files; ``None`` writes nothing.
      after_step: events beyond it, from before a resume, are hidden.
    """

    def __init__(self, directory: str | os.PathLike | None, *, after_step: int):
        self._writer: Any = None
        if directory is not None:
            from tensorboardX import SummaryWriter

            with disk_errors(directory):
                self._writer = SummaryWriter(str(directory), purge_step=after_step + 1 if after_step else None)

    def scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, name: str, pictures: np.ndarray) -> None:
        """``[M, columns, H, W, C]`` in [0, 1], shown as M rows."""
        if self._writer is not None:
            rows, columns, height, width, channels = pictures.shape
            sheet = pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
            self._writer.add_image(name, np.broadcast_to(sheet, (*sheet.shape[:2], 3)), step, dataformats='HWC')

    def close(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()


class ProgressReport:
    """A bar with rate and time left on a terminal; one plain line for each report elsewhere.

    Args:
      start: steps done before.
      total: steps of the run.
      console: where to; ``None``: standard output.
      quiet: say nothing at all, as all processes of a run but one.
    """

    def __init__(self, *, start: int, total: int, console: Console | None = None, quiet: bool = False):
        self._console = console or Console(quiet=quiet)
        self._start, self._total = start, total
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if self._console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn('training'),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn('{task.fields[speed]}'),
                TextColumn('{task.fields[shown]}'),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task('training', total=self._total, completed=self._start, speed='', shown='')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """One line for the user, in either form, never wrapped."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Moves the bar; nothing elsewhere."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def report(self, step: int, *, step_seconds: float, metrics: Mapping[str, float]) -> None:
        """Rate, time left and metrics of the last interval.

        Args:
          step: updates done.
          step_seconds: mean of the interval.
          metrics: scalars by name.
        """
        left = duration((self._total - step) * step_seconds)
        speed = f'{1 / max(step_seconds, 1e-9):.2f} steps/s, {left} left'
        shown = '  '.join(f'{name} {value:.4g}' for name, value in metrics.items())
        if self._bar is None:
            self.say(f'step {step}/{self._total}  {speed}  {shown}')
        else:
            self._bar.update(self._task, completed=step, speed=speed, shown=shown)


def print_table(title: str, rows: Sequence[tuple[str, str]], console: Console | None = None) -> None:
    """A short table of names and values."""
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify='right')
    for row in rows:
        table.add_row(*row)
    (console or Console()).print(table)
