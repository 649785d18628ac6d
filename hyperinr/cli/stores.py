"""What the commands on neural datasets do with a config and a folder; the command line only parses."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperinr import config, library
from hyperinr.environment import num_cores
from hyperinr.errors import InputError, RunError
from hyperinr.neural_datasets import launchers, slurm_launcher, verification
from hyperinr.neural_datasets.description import DESCRIPTION, read_description
from hyperinr.neural_datasets.fit_job import chunk_batching
from hyperinr.neural_datasets.fit_progress import FitProgress, print_summary
from hyperinr.neural_datasets.store import open_store
from hyperinr.neural_datasets.worker import fit_range, open_for_fitting
from hyperinr.training.logs import print_table

__all__ = ['explain_fit', 'fit_store', 'inspect_store', 'store_config', 'verify_store', 'work']

LAUNCHERS = ('local', 'ray', 'slurm')


def store_config(folder: str | os.PathLike, bindings: Sequence[str] = ()) -> config.Config:
    """The config that a store was begun with, overridden by ``bindings``.

    Raises:
      InputError: no store there, one that was imported and has no config, or a wrong binding.
    """
    text = read_description(folder).config
    if not text:
        raise InputError(f'{folder} was imported and has no config to fit with.')
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, 'config.gin')
        path.write_text(text, encoding='utf-8')
        return config.load_config(str(path), bindings)


def explain_fit(resolved: config.Config) -> str:
    """How `fit_store` would run the INRs of this config on this machine, and why: a sentence.

    Raises:
      InputError: as `library.compose_signals`.
    """
    plan, inr, signals = library.compose_signals(resolved)
    datapoints = signals.batch(np.arange(plan.num_parallel) % len(signals))
    has_target = plan.target_psnr_db is not None or plan.target_iou is not None
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), plan.num_parallel))
    starts = jax.eval_shape(jax.vmap(lambda key: inr.init(key, signals.spec.coord_dims)), keys)
    batching = chunk_batching(
        inr, starts, datapoints, num_steps=plan.num_steps, has_target=has_target, size=plan.num_parallel
    )
    return (
        f'{len(plan.seeds) * len(signals)} INRs, {plan.num_parallel} in a call: {batching.kind} in groups of '
        f'{batching.group_size} on {batching.num_devices} device(s), {batching.kernel}; {batching.reason}'
    )


def fit_store(
    name: str | None,
    bindings: Sequence[str],
    folder: str | os.PathLike,
    *,
    start: int | None = None,
    end: int | None = None,
    num_workers: int = 1,
    launcher: str = 'local',
    slurm_options: Mapping[str, Any] | None = None,
) -> None:
    """Begins a store or goes on with it, until the range is complete.

    Args:
      name: of the config; ``None``: the store's own.
      bindings: that override it.
      folder: of the store.
      start: first index of the range, widened to whole shards; ``None``: 0.
      end: one after the last; ``None``: all.
      num_workers: >= 1. One local worker is this process, on all devices; several share the cores.
      launcher: one of `LAUNCHERS`.
      slurm_options: of ``#SBATCH``.

    Raises:
      InputError: a wrong config, range or folder, or another neural dataset in the folder.
      RunError: the disk is full, or workers die again and again.
    """
    if launcher not in LAUNCHERS:
        raise InputError(f'--launcher {launcher!r} is none of {", ".join(LAUNCHERS)}.')
    if num_workers < 1:
        raise InputError(f'--workers {num_workers} must be 1 or more.')
    if name is None and not (Path(folder) / DESCRIPTION).is_file():
        raise InputError(f'{folder} holds no neural dataset yet; give a CONFIG to begin one.')
    job = library.compose_job(store_config(folder, bindings) if name is None else config.load_config(name, bindings))
    shards = job.description.shards(start, end)
    open_for_fitting(folder, job.description)
    began = time.monotonic()
    num_workers = min(num_workers, len(shards))
    commands = [
        launchers.worker_command(folder, start=start, end=end, worker=worker, num_workers=num_workers)
        for worker in range(num_workers)
    ]
    with FitProgress(folder, job.description, start, end) as progress:
        covered = (shards[0][0], shards[-1][1])
        if covered != (start or 0, job.description.size if end is None else end):
            progress.say(f'the range is widened to whole shards: [{covered[0]}, {covered[1]})')
        if launcher == 'slurm':
            jobs = slurm_launcher.launch_slurm(commands, folder=Path(folder) / '.slurm', options=slurm_options)
            progress.say(f'submitted {", ".join(jobs)}; the same command submits more workers or shows what is there')
            return
        if launcher == 'ray':
            launchers.launch_ray(commands, on_poll=progress.look)
        elif num_workers > 1:
            environment = launchers.worker_environment(num_cores() // num_workers)
            launchers.launch_local(commands, environment=environment, on_poll=progress.look)
        else:
            fit_range(folder, job, start=start, end=end, on_progress=lambda _: progress.look())
    print_summary(folder, time.monotonic() - began)


def work(folder: str | os.PathLike, worker: str, *, start: int | None, end: int | None) -> None:
    """One of the processes that `fit_store` launches, on a store that it has opened.

    Args:
      folder: of the store.
      worker: ``'k/K'``, the k-th of K workers, from 0.
      start: as for `fit_store`.
      end: as for `fit_store`.

    Raises:
      InputError, RunError: as `fit_range`; ``worker`` is not of that form.
    """
    number, _, total = worker.partition('/')
    if not (number.isdecimal() and total.isdecimal() and int(number) < int(total)):
        raise InputError(f'--worker {worker!r} must be k/K with 0 <= k < K.')
    job = library.compose_job(store_config(folder))
    open_for_fitting(folder, job.description)
    fit_range(folder, job, start=start, end=end, worker=int(number), num_workers=int(total))


def verify_store(folder: str | os.PathLike, *, repair: bool = False, num_samples: int = 64) -> None:
    """Checks a store, prints what is wrong, and drops bad shards where asked to.

    Args:
      folder: of the store.
      repair: delete shards that are not sound, so that ``fit`` makes them anew. What a user must decide is left.
      num_samples: INRs whose PSNR is measured anew; 0 needs no source.

    Raises:
      InputError: the folder holds no store.
      RunError: something is wrong, repaired or not.
    """
    found = verification.verify(folder)
    problems, notes = list(found.problems), list(found.notes)
    broken = {problem.shard for problem in problems}
    if num_samples > 0 and found.num_inrs and broken <= {None}:
        if read_description(folder).config:
            _, inr, signals = library.compose_signals(store_config(folder))
            measured = verification.reevaluate(folder, inr, signals.batch, num_samples=num_samples)
            problems += measured
            notes.append(f'PSNR of {min(num_samples, found.num_inrs)} INRs measured anew')
        else:
            notes.append('imported, so there are no signals to measure PSNR against')
    for problem in problems:
        print(problem.message)
    for note in notes:
        print(f'note: {note}')
    if not problems:
        print(f'{folder}: {found.num_inrs} INRs, complete and sound')
        return
    remedy = ''
    if repair:
        dropped = verification.drop(folder, problems)
        for path in dropped:
            print(f'dropped {path.name}')
        remedy = f'; dropped {len(dropped)} shards, `hyperinr fit --store {folder}` makes them anew' if dropped else ''
    elif any(problem.shard is not None for problem in problems):
        remedy = '; --repair drops the bad shards so that `hyperinr fit` makes them anew'
    raise RunError(f'{folder}: {len(problems)} problem{"s" if len(problems) > 1 else ""}{remedy}.')


def inspect_store(folder: str | os.PathLike, out: str | os.PathLike | None = None) -> None:
    """Draws what a store holds, and prints where.

    Args:
      folder: of the store.
      out: folder of the page; ``None``: beside the store, with ``-inspection`` at the end of its name.

    Raises:
      InputError: no store there, an empty one, or a missing package.
    """
    from hyperinr.inspection import store_report

    store = open_store(folder)
    signals = None
    if store.description.config:
        signals = library.compose_signals(store_config(folder))[2]
    path = Path(out or f'{Path(folder).absolute()}-inspection')
    page, figures = store_report.inspect_store(store, path, signals=signals)
    psnr, nmi = figures['psnr'], figures['nmi']
    rows = [
        ('INRs', f'{figures["num_inrs"]:,} of {figures["of"]:,}'),
        ('PSNR, median', 'unknown' if psnr['median_db'] is None else f'{psnr["median_db"]:.2f} dB'),
        ('k-means against labels, NMI', 'no labels' if nmi is None else f'{nmi:.3f}'),
    ]
    if 'iou' in figures:
        rows.append(('IoU, least / median', f'{figures["iou"]["least"]:.4f} / {figures["iou"]["median"]:.4f}'))
    print_table(str(folder), rows)
    print(page)
