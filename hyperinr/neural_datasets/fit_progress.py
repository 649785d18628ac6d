"""How far a store is, whoever works on it: counted from its files, shown with rate and time left."""

import os
import time
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from hyperinr.neural_datasets.claims import work_in_progress
from hyperinr.neural_datasets.description import Description
from hyperinr.neural_datasets.shards import list_shards
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.training.logs import duration, print_table

__all__ = ['FitProgress', 'count_done', 'print_summary']

LINE_SECONDS = 10.0
"""Between two lines where there is no terminal."""


def count_done(folder: str | os.PathLike, description: Description, start: int | None, end: int | None) -> int:
    """INRs of the shards of a range that are written, or fitted by a worker that has not written them yet."""
    written = set(list_shards(folder))
    claims = work_in_progress(folder)
    done = 0
    for begin, stop in description.shards(start, end):
        done += stop - begin if (begin, stop) in written else claims.get(f'{begin}-{stop}', 0)
    return done


class FitProgress:
    """A bar on a terminal, a line now and then elsewhere.

    Args:
      folder: of the store.
      description: of it.
      start: of the range.
      end: of the range.
      console: where to; ``None``: standard output.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        description: Description,
        start: int | None,
        end: int | None,
        console: Console | None = None,
    ):
        self._look = lambda: count_done(folder, description, start, end)
        self._console = console or Console()
        self._total = sum(stop - begin for begin, stop in description.shards(start, end))
        self._first, self._began = self._look(), time.monotonic()
        self._said = self._began
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn('fitting'),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn('{task.fields[speed]}'),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._first:
            self.say(f'{self._first} of {self._total} INRs are there already')
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task('fitting', total=self._total, completed=self._first, speed='')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """One line for the user, never wrapped."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def look(self) -> None:
        """Counts and shows."""
        now = time.monotonic()
        if self._bar is None and now - self._said < LINE_SECONDS:
            return
        done = self._look()
        rate = (done - self._first) / max(now - self._began, 1e-9)
        left = duration((self._total - done) / rate) if rate > 0 else 'unknown time'
        speed = f'{rate:.2f} INRs/s, {left} left'
        if self._bar is not None:
            self._bar.update(self._task, completed=done, speed=speed)
        else:
            self.say(f'{done}/{self._total} INRs  {speed}')
            self._said = now


def print_summary(folder: str | os.PathLike, seconds: float) -> None:
    """What a store holds, on standard output."""
    store = NeuralDataset(folder)
    size = sum(path.stat().st_size for path in store.folder.glob('weights-*.safetensors'))
    counts = {name: len(store.where(status=name)) for name in ('ok', 'diverged', 'missed_target')}
    rows = [
        ('INRs', f'{len(store):,} of {store.description.size:,}'),
        *((f'status {name.replace("_", " ")}', f'{count:,}') for name, count in counts.items()),
    ]
    psnr = store.column('psnr_db')
    psnr = psnr[np.isfinite(psnr)]
    if len(psnr):
        low, middle, high = np.quantile(psnr, [0.01, 0.5, 0.99])
        rows.append(('PSNR, 1 % / median / 99 %', f'{low:.1f} / {middle:.1f} / {high:.1f} dB'))
    iou = store.column('iou')
    iou = iou[np.isfinite(iou)]
    if len(iou):
        rows.append(('IoU, least / median', f'{iou.min():.4f} / {np.median(iou):.4f}'))
    if len(psnr):
        rows.append(('steps, mean', f'{store.column("steps").mean():.1f}'))
    rows += [('size on disk', f'{size / 1e6:,.1f} MB'), ('this command took', duration(seconds))]
    print_table(str(store.folder), rows)
