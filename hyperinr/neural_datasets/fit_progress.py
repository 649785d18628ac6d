"""Progress of a store over all its workers, counted from its files and shown with rate and time left."""

import os
import time
from typing import Self

import numpy as np

from hyperinr.neural_datasets.description import STATUSES, Description
from hyperinr.neural_datasets.shard_locks import fitted_so_far
from hyperinr.neural_datasets.shards import list_shards
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.runtime.progress import ProgressReport, duration, print_table

__all__ = ['FitProgress', 'count_done', 'print_summary']

LINE_SECONDS = 10.0
"""Least time between two lines when the output is no terminal."""


def count_done(folder: str | os.PathLike, description: Description, start: int | None, end: int | None) -> int:
    """Count the INRs of a range that are in a written shard, or fitted by a worker and not yet written."""
    missing = set(description.missing(list_shards(folder), start, end))
    written = set(description.shards(start, end)) - missing
    return sum(stop - begin for begin, stop in written) + fitted_so_far(folder, missing)


class FitProgress(ProgressReport):
    """The progress of a store: a bar on a terminal, otherwise a line every `LINE_SECONDS`.

    Args:
      folder: folder of the store.
      description: its description.
      start: first index of the range; ``None``: 0.
      end: one after the last index; ``None``: the size of the index space.
    """

    def __init__(self, folder: str | os.PathLike, description: Description, start: int | None, end: int | None):
        self._count = lambda: count_done(folder, description, start, end)
        self._first, self._began = self._count(), time.monotonic()
        self._reported = self._began
        total = sum(stop - begin for begin, stop in description.shards(start, end))
        super().__init__(start=self._first, total=total, task='fitting', unit='INR')

    def __enter__(self) -> Self:
        if self._first:
            self.say(f'{self._first} of {self._total} INRs are there already')
        return super().__enter__()

    def update(self) -> None:
        """Count and show the progress; without a terminal at most every `LINE_SECONDS`."""
        now = time.monotonic()
        if self.has_bar or now - self._reported >= LINE_SECONDS:
            self._reported, done = now, self._count()
            fitted = done - self._first
            self.report(done, step_seconds=(now - self._began) / fitted if fitted > 0 else float('inf'))


def print_summary(folder: str | os.PathLike, seconds: float) -> None:
    """Print a summary of a store."""
    store = NeuralDataset(folder)
    size = sum(path.stat().st_size for path in store.folder.glob('weights-*.safetensors'))
    rows = [('INRs', f'{len(store):,} of {store.description.size:,}')]
    rows += [(f'status {name.replace("_", " ")}', f'{len(store.where(status=name)):,}') for name in STATUSES]
    psnr, iou = (column[np.isfinite(column)] for column in map(store.column, ('psnr_db', 'iou')))
    if len(psnr):
        low, middle, high = np.quantile(psnr, [0.01, 0.5, 0.99])
        rows.append(('PSNR, 1 % / median / 99 %', f'{low:.1f} / {middle:.1f} / {high:.1f} dB'))
    if len(iou):
        rows.append(('IoU, least / median', f'{iou.min():.4f} / {np.median(iou):.4f}'))
    if len(psnr):
        rows.append(('steps, mean', f'{store.column("steps").mean():.1f}'))
    kept = _num_kept_before_the_end(store)
    if kept:
        rows.append(('got worse: best state kept', f'{kept:,}'))
    rows += [('size on disk', f'{size / 1e6:,.1f} MB'), ('this command took', duration(seconds))]
    print_table(str(store.folder), rows)


def _num_kept_before_the_end(store: NeuralDataset) -> int:
    """Count the INRs whose weights are those of an earlier step, because their fit got worse after it."""
    about = store.description.fitting
    has_target = about.get('target_psnr_db') is not None or about.get('target_iou') is not None
    stopped = has_target & (store.column('status') == STATUSES.index('ok'))
    return int(np.sum((store.column('steps') < about.get('num_steps', -1)) & ~stopped))
