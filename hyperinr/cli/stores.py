"""The verbs that make, check and convert neural datasets: ``fit``, ``verify``, ``inspect``, ``export``, ``import``."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hyperinr.cli.arguments import FIT_ON_MEMORY, AddVerb, add_config, add_params, add_trust, finite_number, option
from hyperinr.errors import InputError, RunError

if TYPE_CHECKING:
    from hyperinr.config import Config

__all__ = ['add_verbs', 'explain_fit', 'store_config']


def add_verbs(add: AddVerb) -> None:
    """Declare ``fit``, ``verify``, ``inspect``, ``export`` and ``import``."""
    fit = add('fit', _fit, 'fit a neural dataset: one INR for every signal and seed; completes what is missing')
    add_config(fit, nargs='?', help="a gin file or a config's name; optional for an existing store")
    _add_store(fit)
    _add_range(fit)
    option(fit, '--workers', 'N', 'processes that share the cores; a single one uses all cores', 1)
    option(fit, '--launcher', 'NAME', 'local, ray or slurm', 'local', choices=('local', 'ray', 'slurm'))
    option(fit, '--slurm', 'KEY=VALUE', 'option of sbatch; repeatable', action='append')
    fit.add_argument('--worker', metavar='K/N', help=argparse.SUPPRESS)
    add_params(fit)
    add_trust(fit)
    fit.set_defaults(on_memory=f'{FIT_ON_MEMORY}, or --workers', goes_on=True)

    verify = add('verify', _verify, 'check a neural dataset: files, checksums, gaps, duplicates, NaN, recorded PSNR')
    _add_store(verify)
    _add_range(verify)
    verify.add_argument('--repair', action='store_true', help='drop bad shards so that `hyperinr fit` makes them again')
    add_trust(verify)
    option(verify, '--samples', 'N', 'number of PSNRs to measure again', 64)

    inspect = add('inspect', _inspect, 'draw PSNR, reconstructions and weights of a neural dataset')
    _add_store(inspect)
    option(inspect, '--out', 'DIR', 'folder for the pictures (default: beside the store)')
    add_trust(inspect)
    export = add('export', _export, 'write a neural dataset in another format')
    _add_store(export)
    _add_exchange(export, 'file or folder to write')
    export.add_argument('--fold-omega', action='store_true', help='fold omega_0 into the weights')
    bring_in = add('import', _import, 'make a neural dataset from files in another format')
    _add_store(bring_in)
    _add_exchange(bring_in, 'file or folder to read')
    data_range = "range of the INRs' values, for files that do not state it (default: 0 1)"
    bring_in.add_argument(
        '--data-range', type=finite_number, nargs=2, default=(0.0, 1.0), metavar=('LOW', 'HIGH'), help=data_range
    )


def _add_store(command: argparse.ArgumentParser) -> None:
    below = lambda name: str(Path(os.environ.get('NEF_PATH', '')) / name)
    help = 'folder of the neural dataset; below $NEF_PATH if that is set and DIR is relative'
    option(command, '--store', 'DIR', help, required=True, type=below)


def _add_range(command: argparse.ArgumentParser) -> None:
    option(command, '--start', 'I', 'first index (default: 0); the range is widened to whole shards', type=int)
    option(command, '--end', 'J', 'one after the last index (default: all)', type=int)


def _add_exchange(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument('path', metavar='PATH', help=what)
    option(command, '--format', 'FORMAT', 'fit-a-nef, dwsnets, nfn, npz or safetensors', required=True)


def store_config(folder: str | os.PathLike, bindings: Sequence[str] = (), *, trust: bool = False) -> 'Config':
    """Return the config of a store, overridden by ``bindings``.

    Raises:
      InputError: the folder holds no store, the store was imported and has no config, a binding is wrong, or, without
        ``trust``, the config names something else than parts of hyperinr.
    """
    from hyperinr.config.reader import load_text
    from hyperinr.neural_datasets.description import DESCRIPTION, read_description

    text = read_description(folder).config
    if not text:
        raise InputError(f'{folder} was imported and has no config to fit with.')
    return load_text(text, bindings, trusted=trust, name=f'{folder}/{DESCRIPTION}')


def explain_fit(resolved: 'Config') -> str:
    """Return a sentence about how ``fit`` would run the INRs of this config on this machine, and why.

    Raises:
      InputError: as `library.compose_signals`.
    """
    import jax
    import numpy as np

    from hyperinr.library import compose_signals
    from hyperinr.neural_datasets.fit_job import chunk_batching

    plan, inr, signals = compose_signals(resolved)
    datapoints = signals.batch(np.arange(plan.num_parallel) % len(signals))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), plan.num_parallel))
    starts = jax.eval_shape(jax.vmap(lambda key: inr.init(key, signals.spec.coord_dims)), keys)
    batching = chunk_batching(plan, inr, starts, datapoints)
    return (
        f'{len(plan.seeds) * len(signals)} INRs, {plan.num_parallel} in a call: {batching.kind} in groups of '
        f'{batching.group_size} on {batching.num_devices} device(s), {batching.kernel}; {batching.reason}'
    )


def _fit(options: argparse.Namespace) -> None:
    """Begin or continue a store until the range is complete; with ``--worker k/K``, do one worker's part."""
    from hyperinr.config import load_config
    from hyperinr.launching import launch_local, launch_ray, launch_slurm, worker_environment
    from hyperinr.library import compose_job
    from hyperinr.neural_datasets.description import DESCRIPTION
    from hyperinr.neural_datasets.fit_progress import FitProgress, print_summary
    from hyperinr.neural_datasets.worker import fit_range, open_for_fitting, worker_command
    from hyperinr.runtime.environment import num_cores

    folder, start, end = options.store, options.start, options.end
    if options.workers < 1:
        raise InputError(f'--workers {options.workers} must be 1 or more.')
    if not options.config and not (Path(folder) / DESCRIPTION).is_file():
        raise InputError(f'{folder} holds no neural dataset yet; give a CONFIG to begin one.')
    if options.config:
        config = load_config(options.config, options.param)
    else:
        config = store_config(folder, options.param, trust=options.trust)
    job = compose_job(config, trust=options.trust)
    shards = job.description.shards(start, end)
    open_for_fitting(folder, job.description)
    if options.worker:
        number, _, total = options.worker.partition('/')
        if not (number.isdecimal() and total.isdecimal() and int(number) < int(total)):
            raise InputError(f'--worker {options.worker!r} must be k/K with 0 <= k < K.')
        fit_range(folder, job, start=start, end=end, worker=int(number), num_workers=int(total))
        return
    began = time.monotonic()
    num_workers = min(options.workers, len(shards))
    trust = bool(options.trust or options.config)  # The store now holds the user's own config.
    commands = [
        worker_command(folder, start=start, end=end, worker=worker, num_workers=num_workers, trust=trust)
        for worker in range(num_workers)
    ]
    with FitProgress(folder, job.description, start, end) as progress:
        covered = (shards[0][0], shards[-1][1])
        if covered != (start or 0, job.description.size if end is None else end):
            progress.say(f'the range is widened to whole shards: [{covered[0]}, {covered[1]})')
        if options.launcher == 'slurm':
            slurm_options = dict(option.partition('=')[::2] for option in options.slurm or ())
            jobs = launch_slurm(commands, folder=Path(folder) / '.slurm', options=slurm_options)
            progress.say(f'submitted {", ".join(jobs)}; the same command submits more workers or shows the progress')
            return
        if options.launcher == 'ray':
            launch_ray(commands, on_poll=progress.update)
        elif num_workers > 1:
            environment = worker_environment(num_cores() // num_workers)
            launch_local(commands, environment=environment, on_poll=progress.update)
        else:
            fit_range(folder, job, start=start, end=end, on_progress=lambda _: progress.update())
    print_summary(folder, time.monotonic() - began)


def _verify(options: argparse.Namespace) -> None:
    """Check a store, print its problems, and with ``--repair`` drop bad shards. Other problems are left to the user."""
    from hyperinr.library import compose_signals
    from hyperinr.neural_datasets import measurement, verification
    from hyperinr.neural_datasets.description import read_description

    folder = options.store
    within = {'start': options.start, 'end': options.end}
    found = verification.verify(folder, **within)
    problems, notes = list(found.problems), list(found.notes)
    broken = {problem.shard for problem in problems}
    if options.samples > 0 and found.num_inrs and broken <= {None}:
        if read_description(folder).config:
            plan, inr, signals = compose_signals(store_config(folder, trust=options.trust))
            problems += measurement.compare(folder, plan, inr, signals) or measurement.reevaluate(
                folder, signals.batch, num_samples=options.samples, **within
            )
            notes.append(f'PSNR of {min(options.samples, found.num_inrs)} INRs measured again')
        else:
            notes.append('imported, so there are no signals to measure PSNR against')
    for line in [problem.message for problem in problems] + [f'note: {note}' for note in notes]:
        print(line)
    if not problems:
        print(f'{folder}: {found.num_inrs} INRs, complete and sound')
        return
    remedy = ''
    if options.repair:
        dropped = verification.drop(folder, problems)
        for path in dropped:
            print(f'dropped {path.name}')
        if dropped:
            number = f'{len(dropped)} shard{"s" if len(dropped) > 1 else ""}'
            remedy = f'; dropped {number}, `hyperinr fit --store {folder}` makes them again'
    elif any(problem.shard is not None for problem in problems):
        remedy = '; --repair drops the bad shards so that `hyperinr fit` makes them again'
    raise RunError(f'{folder}: {len(problems)} problem{"s" if len(problems) > 1 else ""}{remedy}.')


def _inspect(options: argparse.Namespace) -> None:
    """Draw the content of a store, and print the paths."""
    from hyperinr.inspection import store_report
    from hyperinr.library import compose_signals
    from hyperinr.neural_datasets.store import open_store
    from hyperinr.runtime.progress import print_table

    store = open_store(options.store)
    signals = compose_signals(store_config(options.store, trust=options.trust))[2] if store.description.config else None
    path = Path(options.out or f'{Path(options.store).absolute()}-inspection')
    page, figures = store_report.inspect_store(store, path, signals=signals)
    psnr, nmi = figures['psnr'], figures['nmi']
    rows = [
        ('INRs', f'{figures["num_inrs"]:,} of {figures["of"]:,}'),
        ('PSNR, median', 'unknown' if psnr['median_db'] is None else f'{psnr["median_db"]:.2f} dB'),
        ('k-means against labels, NMI', 'no labels' if nmi is None else f'{nmi:.3f}'),
    ]
    if 'iou' in figures:
        rows.append(('IoU, least / median', f'{figures["iou"]["least"]:.4f} / {figures["iou"]["median"]:.4f}'))
    print_table(options.store, rows)
    print(page)


def _export(options: argparse.Namespace) -> None:
    from hyperinr.neural_datasets.exchange.formats import export_store

    print(export_store(options.store, options.path, format=options.format, fold_omega=options.fold_omega))


def _import(options: argparse.Namespace) -> None:
    from hyperinr.neural_datasets.exchange.formats import import_store

    low, high = options.data_range
    print(import_store(options.path, options.store, format=options.format, data_range=(low, high)))
