"""One worker: claims shards that are missing, fits their INRs, writes them, until the range is complete.

A shard is a function of the job and of its range alone. So the work needs no queue and no coordinator: whoever finds a
shard missing and unclaimed makes it, and whatever has been killed is found missing again.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperinr import metrics
from hyperinr.errors import InputError, RunError
from hyperinr.files import check_writable_folder
from hyperinr.neural_datasets.claims import CLAIMS, Claim, claimed
from hyperinr.neural_datasets.description import (
    DESCRIPTION,
    START_KINDS,
    Description,
    check_same,
    read_description,
)
from hyperinr.neural_datasets.fit_job import FittedChunk, fit_rows, rows_per_call
from hyperinr.neural_datasets.plan import Job
from hyperinr.neural_datasets.shards import list_shards, partial_files, read_header, shard_path, write_shard

__all__ = ['FitReport', 'fit_range', 'open_for_fitting']

WAIT_SECONDS = 0.2
"""Between looks at shards that other workers hold."""


class FitReport(NamedTuple):
    """What a worker did.

    Attributes:
      fitted: INRs fitted by this worker.
      waited_for: shards that other workers finished while this one looked on.
    """

    fitted: int
    waited_for: int


def open_for_fitting(folder: str | os.PathLike, description: Description) -> None:
    """Makes the folder a store, or checks that it is one of the same description with sound shards. Loses nothing.

    Raises:
      InputError: the folder holds something else or another neural dataset, a shard that is cut short or of another
        layout, or cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder} is a file; give a folder as --store.')
    if (folder / DESCRIPTION).is_file():
        stored = read_description(folder)
        check_same(folder, stored, description)
        check_writable_folder(folder)
        expected = set(stored.shards())
        for begin, end in list_shards(folder):
            if (begin, end) not in expected:
                raise InputError(
                    f'{shard_path(folder, begin, end)} is no shard of this neural dataset; move it away, or drop it '
                    'with `hyperinr verify --repair`.'
                )
            read_header(shard_path(folder, begin, end))
        return
    content = [path.name for path in folder.iterdir() if not _is_ours(path)] if folder.is_dir() else []
    if content:
        raise InputError(
            f'{folder} is not empty and holds no neural dataset ({", ".join(sorted(content)[:3])} ...); give a new or '
            'empty folder.'
        )
    check_writable_folder(folder)
    description.write(folder)


def _is_ours(path: Path) -> bool:
    return path.name == CLAIMS or '.partial' in path.name


def fit_range(
    folder: str | os.PathLike,
    job: Job,
    *,
    start: int | None = None,
    end: int | None = None,
    worker: int = 0,
    num_workers: int = 1,
    on_progress: Callable[[int], None] = lambda count: None,
) -> FitReport:
    """Completes every shard that shares an index with [start, end); returns when all of them exist.

    Any number of calls may run at once, in any processes. Worker k of K begins at the k-th part of the range, so that
    workers seldom meet. Whoever finds the rest claimed waits: should its holder die, the claim is free.

    Args:
      folder: of the store, opened with `open_for_fitting`.
      job: of the same description.
      start: first index; ``None``: 0.
      end: one after the last index; ``None``: the size of the index space.
      worker: k in [0, num_workers).
      num_workers: K; need not be right.
      on_progress: called with the number of INRs that have just been fitted.

    Raises:
      InputError: a range outside the index space, or a signal that cannot be fitted.
      RunError: the disk is full.
    """
    ranges = job.description.shards(start, end)
    first = worker * len(ranges) // num_workers
    ranges = ranges[first:] + ranges[:first]
    fitted, waited_for = 0, 0
    while True:
        missing = [each for each in ranges if not shard_path(folder, *each).exists()]
        if not missing:
            return FitReport(fitted, waited_for)
        progressed = False
        for begin, stop in missing:
            with claimed(folder, f'{begin}-{stop}') as claim:
                if claim is None:
                    continue
                progressed = True
                if shard_path(folder, begin, stop).exists():
                    waited_for += 1
                    continue
                _fit_shard(folder, job, begin, stop, claim, on_progress)
                fitted += stop - begin
        if not progressed:
            time.sleep(WAIT_SECONDS)


def _fit_shard(
    folder: str | os.PathLike, job: Job, begin: int, end: int, claim: Claim, on_progress: Callable[[int], None]
) -> None:
    if claim.exclusive:
        for leftover in partial_files(folder, begin, end):
            leftover.unlink(missing_ok=True)
    claim.report(0)
    seeds, signals = _seeds_and_signals(job.description, np.arange(begin, end))
    parts, step = [], rows_per_call(job)
    for first in range(0, end - begin, step):
        rows = slice(first, min(first + step, end - begin))
        parts.append(fit_rows(job, seeds[rows], signals[rows]))
        claim.report(rows.stop)
        on_progress(rows.stop - first)
    whole = FittedChunk(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))
    mse = whole.mse.astype(np.float32)
    columns = {
        'index': np.arange(begin, end),
        'source_index': signals,
        'label': job.signals.labels(signals),
        'seed': seeds,
        'start': np.full(end - begin, START_KINDS.index(job.plan.start.kind)),
        'steps': whole.steps,
        'mse': mse,
        'psnr_db': np.asarray(metrics.psnr_from_mse(mse, job.signals.spec.data_range)),
        'iou': whole.iou,
        'status': whole.status,
    }
    try:
        write_shard(folder, whole.weights, columns)
    except InputError as error:
        raise RunError(str(error)) from error


def _seeds_and_signals(description: Description, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positions, signals = np.divmod(indices, description.num_signals)
    return np.asarray(description.seeds, np.int64)[positions], signals
