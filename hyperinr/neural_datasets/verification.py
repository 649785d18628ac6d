"""Verify a store by itself: files, checksums, layout, gaps, duplicates and NaN."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperinr import metrics
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import DESCRIPTION, START_KINDS, STATUSES, Description, read_description
from hyperinr.neural_datasets.description_checks import check_inr
from hyperinr.neural_datasets.identity import identity
from hyperinr.neural_datasets.shard_locks import LOCKS, shard_lock
from hyperinr.neural_datasets.shards import (
    Shard,
    StrangeShardError,
    checksum,
    list_shards,
    map_shard,
    partial_files,
    shard_path,
)
from hyperinr.runtime.files import disk_errors

__all__ = ['Problem', 'Verification', 'drop', 'verify']

PSNR_TOLERANCE_DB = 0.05
"""Allowed difference between the recorded PSNR and a new measurement of the same weights on any machine."""
LEFT_ALONE = ('.slurm',)
DIVERGED, IMPORTED = STATUSES.index('diverged'), START_KINDS.index('imported')


class Problem(NamedTuple):
    """A problem of a store.

    Attributes:
      message: one line.
      shard: ``(start, end)`` of the shard to drop so that ``fit`` makes it again; ``None`` if that would not help.
    """

    message: str
    shard: tuple[int, int] | None = None


class Verification(NamedTuple):
    """The result of `verify`.

    Attributes:
      problems: empty for a sound and complete store.
      notes: facts worth knowing that are no problem.
      num_inrs: number of INRs that were checked.
    """

    problems: list[Problem]
    notes: list[str]
    num_inrs: int


def verify(folder: str | os.PathLike, start: int | None = None, end: int | None = None) -> Verification:
    """Read and check every byte of a store. Needs neither its source nor its config.

    Args:
      folder: folder of the store.
      start: first index; ``None``: 0. With ``start`` or ``end`` only the shards that overlap [start, end) are checked,
        and other files in the folder are no problem.
      end: one after the last index; ``None``: the size of the index space.

    Raises:
      InputError: the folder holds no store, its ``dataset.json`` is damaged or belongs to none of its shards, or the
        range is empty or lies outside its index space.
    """
    folder = Path(folder)
    description = read_description(folder)
    check_inr(description, folder / DESCRIPTION)
    (first, last), whole = description.bounds(start, end), start is None and end is None
    there = list_shards(folder, first, None if end is None else last)
    leftovers = {path.name for path in partial_files(folder)} if whole else set()
    ours = {DESCRIPTION, LOCKS, *LEFT_ALONE, *leftovers, *(shard_path(folder, *each).name for each in there)}
    foreign = sorted(path.name for path in folder.iterdir() if whole and path.name not in ours)
    problems = [Problem(f'{one_line(name)}: a foreign file in the folder; move it away') for name in foreign]
    seen: dict[bytes, int] = {}
    num_inrs, num_diverged = 0, 0
    strange: list[Problem] = []
    store, num_weights = identity(description), weights_lib.count(description.weights)
    for shard in there:
        path = shard_path(folder, *shard)
        if not description.holds(shard):
            problems.append(Problem(f'{path.name}: no shard of this index space, so its INRs may be here twice', shard))
            continue
        num_inrs += shard[1] - shard[0]
        try:
            mapped = map_shard(folder, shard, num_weights, store=store)
        except InputError as error:
            problem = Problem(f'{path.name}: not a sound shard: {error.__cause__}', shard)
            (strange if isinstance(error.__cause__, StrangeShardError) else problems).append(problem)
            continue
        found = _check_shard(mapped, np.arange(*shard), description, seen)
        problems += [Problem(f'{path.name}: {message}', shard) for message in found]
        num_diverged += int(np.sum(mapped.tensors['status'] == DIVERGED))
    if strange and len(strange) == len(there):  # Then rather one file is wrong than all: nothing may be dropped.
        raise InputError(
            f'{folder / DESCRIPTION} and the {len(there)} shards beside it belong to different neural datasets; '
            'restore the file, or move the shards away.'
        )
    problems += strange
    gaps = description.gaps(there, start, end)
    if gaps:
        count = sum(stop - begin for begin, stop in gaps)
        ranges = ', '.join(f'[{begin}, {stop})' for begin, stop in gaps[:8])
        part = '' if whole else f' --start {first} --end {last}'
        message = f'{count} INRs are missing: {ranges}; `hyperinr fit --store {folder}{part}` makes them'
        if whole and there:
            begin, stop = max(_joined(there), key=lambda each: each[1] - each[0])
            message += f'; `hyperinr verify --store {folder} --start {begin} --end {stop}` verifies a part'
        problems.append(Problem(message))
    notes = []
    if not whole:
        notes.append(f'[{first}, {last}) of [0, {description.size}) verified: the range in whole shards')
    if leftovers:
        notes.append(f'{len(leftovers)} unfinished files of killed workers, which the next `hyperinr fit` removes')
    if num_diverged:
        notes.append(f'{num_diverged} INRs diverged and are marked so')
    return Verification(problems, notes, num_inrs)


def one_line(name: str) -> str:
    """Return a file's name, with escapes for line breaks and other characters that a terminal cannot show."""
    return name if name.isprintable() else ascii(name)


def _check_shard(shard: Shard, indices: np.ndarray, description: Description, seen: dict[bytes, int]) -> Iterator[str]:
    """Yield what is wrong with the shard of INRs ``indices``; ``seen`` gets a digest of each INR's weights."""
    tensors = shard.tensors
    if shard.checksum != checksum(tensors):
        yield 'the checksum does not fit the content: bytes have changed since it was written'
    seeds, signals = description.seeds_and_signals(indices)
    for name, right in (('source_index', signals), ('seed', seeds)):
        wrong = np.flatnonzero(tensors[name] != right)
        if len(wrong):
            yield f'column {name} is wrong in {len(wrong)} rows: INR {indices[wrong[0]]} has {tensors[name][wrong[0]]}'
    weights, status = tensors['weights'], tensors['status']
    if (status >= len(STATUSES)).any():
        yield f'column status holds {status.max()}, which means nothing'
    sound = status != DIVERGED
    bad = indices[~np.isfinite(weights).all(axis=1) & sound]
    if len(bad):
        yield f'weights that are not finite in {len(bad)} INRs not marked as diverged, first {bad[0]}'
    psnr = np.asarray(metrics.psnr_from_mse(tensors['mse'], description.spec.data_range))
    measured = sound & ~(np.isnan(psnr) & (tensors['start'] == IMPORTED))
    unlike = indices[measured & ~np.isclose(psnr, tensors['psnr_db'], atol=PSNR_TOLERANCE_DB, equal_nan=False)]
    if len(unlike):
        yield f'mse and psnr_db contradict each other in {len(unlike)} INRs, first {unlike[0]}'
    for row in np.flatnonzero(sound):
        digest = hashlib.blake2b(weights[row].tobytes(), digest_size=16).digest()
        if digest in seen:
            yield f'INR {indices[row]} has the very weights of INR {seen[digest]}'
        seen.setdefault(digest, int(indices[row]))


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges with adjacent ones joined."""
    joined: list[tuple[int, int]] = []
    for begin, end in ranges:
        if joined and joined[-1][1] == begin:
            begin, _ = joined.pop()
        joined.append((begin, end))
    return joined


def drop(folder: str | os.PathLike, problems: Sequence[Problem]) -> list[Path]:
    """Delete the shards that problems name, so that ``fit`` makes them again. Shards locked by a worker are kept.

    Returns:
      The deleted files.

    Raises:
      InputError: there is no permission.
    """
    dropped = []
    for shard in sorted({problem.shard for problem in problems if problem.shard is not None}):
        path = shard_path(folder, *shard)
        with shard_lock(folder, *shard) as lock, disk_errors(path):
            if path.is_dir():
                raise InputError(f'{path} is a folder; move it away.')
            if lock is not None and path.exists():
                path.unlink()
                dropped.append(path)
    return dropped
