"""Whether a store is what it says: files, checksums, layout, gaps, duplicates, NaN, and PSNR measured anew."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from hyperinr import metrics
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files import disk_errors
from hyperinr.neural_datasets.claims import CLAIMS, claimed
from hyperinr.neural_datasets.description import DESCRIPTION, START_KINDS, STATUSES, Description, read_description
from hyperinr.neural_datasets.shards import checksum, list_shards, partial_files, read_shard, shard_path
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.types import Array, Datapoint, Inr

__all__ = ['Problem', 'Verification', 'drop', 'reevaluate', 'verify']

PSNR_TOLERANCE_DB = 0.05
"""Between the recorded PSNR and one measured anew, of the same float32 weights on perhaps another machine."""
LEFT_ALONE = ('.slurm',)
DIVERGED, IMPORTED = STATUSES.index('diverged'), START_KINDS.index('imported')


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
      message: one line.
      shard: the file to drop so that ``fit`` makes it anew; ``None`` where dropping a shard would not help.
    """

    message: str
    shard: Path | None = None


class Verification(NamedTuple):
    """What `verify` found.

    Attributes:
      problems: empty for a sound and complete store.
      notes: worth knowing and not wrong.
      num_inrs: that were looked at.
    """

    problems: list[Problem]
    notes: list[str]
    num_inrs: int


def verify(folder: str | os.PathLike) -> Verification:
    """Reads every byte of a store. Needs neither its source nor its config.

    Raises:
      InputError: the folder holds no store.
    """
    folder = Path(folder)
    description = read_description(folder)
    problems, notes = _check_folder(folder, description)
    expected = set(description.shards())
    seen: dict[bytes, int] = {}
    num_inrs, diverged = 0, 0
    for begin, end in list_shards(folder):
        path = shard_path(folder, begin, end)
        if (begin, end) not in expected:
            problems.append(Problem(f'{path.name}: no shard of this index space, so its INRs may be here twice', path))
            continue
        found = _check_shard(path, begin, end, description, seen)
        problems += [Problem(f'{path.name}: {message}', path) for message in found.problems]
        num_inrs += end - begin
        diverged += found.diverged
    missing = sorted(expected - set(list_shards(folder)))
    if missing:
        count = sum(end - begin for begin, end in missing)
        ranges = ', '.join(f'[{begin}, {end})' for begin, end in _joined(missing)[:8])
        problems.append(Problem(f'{count} INRs are missing: {ranges}; `hyperinr fit --store {folder}` makes them'))
    if diverged:
        notes.append(f'{diverged} INRs diverged and are marked so')
    return Verification(problems, notes, num_inrs)


class _ShardCheck(NamedTuple):
    problems: list[str]
    diverged: int


def _check_folder(folder: Path, description: Description) -> tuple[list[Problem], list[str]]:
    problems, notes = [], []
    ours = {DESCRIPTION, CLAIMS, *LEFT_ALONE, *(shard_path(folder, *each).name for each in list_shards(folder))}
    leftovers = {path.name for path in partial_files(folder)}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours | leftovers)
    for name in foreign:
        problems.append(Problem(f'{name}: a foreign file in the folder; move it away'))
    if leftovers:
        notes.append(f'{len(leftovers)} unfinished files of killed workers, which the next `hyperinr fit` removes')
    return problems, notes


def _check_shard(path: Path, begin: int, end: int, description: Description, seen: dict[bytes, int]) -> _ShardCheck:
    try:
        tensors, header = read_shard(path)
    except InputError as error:
        return _ShardCheck([f'not a sound shard: {error.__cause__}'], 0)
    weights = tensors['weights']
    expected = (end - begin, weights_lib.count(description.weights))
    if weights.shape != expected:
        return _ShardCheck([f'weights {weights.shape} instead of {expected}'], 0)
    if any(tensors[name].shape != (end - begin,) for name in tensors if name != 'weights'):
        return _ShardCheck(['a column has another length than the shard'], 0)
    problems = []
    if header.metadata.get('checksum') != checksum(tensors):
        problems.append('the checksum does not fit the content: bytes have changed since it was written')
    indices = np.arange(begin, end)
    positions, signals = np.divmod(indices, description.num_signals)
    for name, right in (
        ('index', indices),
        ('source_index', signals),
        ('seed', np.asarray(description.seeds)[positions]),
    ):
        wrong = np.flatnonzero(tensors[name] != right)
        if len(wrong):
            problems.append(
                f'column {name} is wrong in {len(wrong)} rows: INR {indices[wrong[0]]} has {tensors[name][wrong[0]]}'
            )
    status = tensors['status']
    if (status >= len(STATUSES)).any():
        problems.append(f'column status holds {status.max()}, which means nothing')
    sound = status != DIVERGED
    bad = np.flatnonzero(~np.isfinite(weights).all(axis=1) & sound)
    if len(bad):
        problems.append(
            f'weights that are not finite in {len(bad)} INRs not marked as diverged, first {indices[bad[0]]}'
        )
    psnr = np.asarray(metrics.psnr_from_mse(tensors['mse'], description.spec.data_range))
    measured = sound & ~(np.isnan(psnr) & (tensors['start'] == IMPORTED))
    unlike = np.flatnonzero(measured & ~np.isclose(psnr, tensors['psnr_db'], atol=PSNR_TOLERANCE_DB, equal_nan=False))
    if len(unlike):
        problems.append(f'mse and psnr_db contradict each other in {len(unlike)} INRs, first {indices[unlike[0]]}')
    for row in np.flatnonzero(sound):
        digest = hashlib.blake2b(weights[row].tobytes(), digest_size=16).digest()
        if digest in seen:
            problems.append(f'INR {indices[row]} has the very weights of INR {seen[digest]}')
        seen.setdefault(digest, int(indices[row]))
    return _ShardCheck(problems, int((~sound).sum()))


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Adjacent ranges as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in ranges:
        if joined and joined[-1][1] == begin:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def reevaluate(
    folder: str | os.PathLike,
    inr: Inr,
    batch: Callable[[np.ndarray], Datapoint],
    *,
    num_samples: int = 64,
    seed: int = 0,
) -> list[Problem]:
    """Measures the PSNR of some INRs against their signals, and compares it with what is recorded.

    Args:
      folder: of the store; its shards are sound.
      inr: evaluates the weights.
      batch: source indices ``[B]`` -> datapoints ``[B, ...]``.
      num_samples: INRs at random; all where there are no more.
      seed: of the choice.

    Returns:
      One problem for each INR whose PSNR is another one.
    """
    store = NeuralDataset(folder)
    usable = np.flatnonzero(store.column('status') != DIVERGED)
    rows = np.sort(np.random.default_rng(seed).choice(usable, min(num_samples, len(usable)), replace=False))
    problems = []

    def error(weights: np.ndarray, datapoint: Datapoint) -> Array:
        tree = weights_lib.unflatten(weights, store.description.weights)
        return metrics.mean_squared_error(inr.apply(tree, datapoint.coords), datapoint.values, datapoint.weight)

    measure = jax.jit(error)
    for row in rows:
        weights = store.weights([row])[0]
        datapoint = jax.tree.map(lambda leaf: leaf[0], batch(store.column('source_index')[[row]]))
        found = float(metrics.psnr_from_mse(measure(weights, datapoint), store.description.spec.data_range))
        recorded = float(store.column('psnr_db')[row])
        if not abs(found - recorded) <= PSNR_TOLERANCE_DB and found != recorded:
            index = int(store.column('index')[row])
            shard = next(each for each in list_shards(folder) if each[0] <= index < each[1])
            problems.append(
                Problem(
                    f'INR {index}: PSNR {found:.2f} dB against its signal, {recorded:.2f} dB recorded',
                    shard_path(folder, *shard),
                )
            )
    return problems


def drop(folder: str | os.PathLike, problems: Sequence[Problem]) -> list[Path]:
    """Deletes the shards that problems name, so that ``fit`` makes them anew; leaves those that a worker holds.

    Returns:
      The deleted files.

    Raises:
      InputError: no permission.
    """
    dropped = []
    for path in sorted({problem.shard for problem in problems if problem.shard is not None}):
        name = path.stem.removeprefix('weights-')
        with claimed(folder, name) as claim, disk_errors(path):
            if claim is not None and path.exists():
                path.unlink()
                dropped.append(path)
    return dropped
