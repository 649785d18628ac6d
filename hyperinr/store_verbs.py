"""The verbs of ``hyperinr`` that make, check and convert neural datasets."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hyperinr.arguments import add_config, add_params

__all__ = ['AddVerb', 'add_store_verbs']


class AddVerb(Protocol):
    """Declares a command: its name, the function it calls, and what it does in one line."""

    def __call__(
        self, name: str, verb: Callable[[argparse.Namespace], None], summary: str
    ) -> argparse.ArgumentParser: ...


def add_store_verbs(add: AddVerb) -> None:
    """Declares ``fit``, ``verify``, ``inspect``, ``export``, ``import`` and ``tune``."""
    fit = add('fit', _fit, 'fit a neural dataset: one INR for every signal and seed; completes what is missing')
    fit.add_argument('config', metavar='CONFIG', nargs='?', help="a gin file or a config's name; the store's own later")
    _add_store(fit)
    fit.add_argument('--start', type=int, metavar='I', help='first index (default: 0)')
    fit.add_argument('--end', type=int, metavar='J', help='one after the last index (default: all)')
    fit.add_argument(
        '--workers', type=int, default=1, metavar='N', help='processes that share the cores (default: 1, on all cores)'
    )
    fit.add_argument('--launcher', default='local', help='local, ray or slurm (default: local)')
    fit.add_argument('--slurm', metavar='KEY=VALUE', action='append', default=[], help='option of sbatch; repeatable')
    fit.add_argument('--worker', metavar='K/N', help=argparse.SUPPRESS)
    add_params(fit)

    verify = add('verify', _verify, 'check a neural dataset: files, checksums, gaps, duplicates, NaN, recorded PSNR')
    _add_store(verify)
    verify.add_argument('--repair', action='store_true', help='drop bad shards so that `hyperinr fit` makes them anew')
    verify.add_argument('--samples', type=int, default=64, metavar='N', help='PSNRs to measure anew (default: 64)')

    inspect = add('inspect', _inspect, 'PSNR, reconstructions and weights of a neural dataset, as pictures and a page')
    _add_store(inspect)
    inspect.add_argument('--out', metavar='DIR', help='where to (default: beside the store)')
    export = add('export', _export, 'write a neural dataset in another format')
    _add_store(export)
    _add_exchange(export, 'file or folder to write')
    export.add_argument('--fold-omega', action='store_true', help='fold omega_0 into the weights')
    bring_in = add('import', _import, 'make a neural dataset of files in another format')
    _add_store(bring_in)
    _add_exchange(bring_in, 'file or folder to read')
    bring_in.add_argument(
        '--data-range',
        type=float,
        nargs=2,
        default=(0.0, 1.0),
        metavar=('LOW', 'HIGH'),
        help="of the INRs' values, where the files do not say it (default: 0 1)",
    )

    tune = add('tune', _tune, 'search the bindings of a config for the best neural dataset')
    add_config(tune)
    tune.add_argument('--study', metavar='DIR', required=True, help='keeps the trials and the best config')
    tune.add_argument('--trials', type=int, metavar='N', help="how many (default: the config's)")
    tune.add_argument('--storage', help="sqlite or journal (default: the folder's, else sqlite)")
    add_params(tune)


def _add_store(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        '--store',
        metavar='DIR',
        required=True,
        type=lambda name: str(Path(os.environ.get('NEF_PATH', '')) / name),
        help='folder of the neural dataset; below $NEF_PATH where that is set and DIR is relative',
    )


def _add_exchange(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument('path', metavar='PATH', help=what)
    command.add_argument('--format', required=True, help='fit-a-nef, dwsnets, nfn, npz or safetensors')


def _fit(options: argparse.Namespace) -> None:
    from hyperinr import store_commands

    if options.worker:
        store_commands.work(options.store, options.worker, start=options.start, end=options.end)
        return
    store_commands.fit_store(
        options.config,
        options.param,
        options.store,
        start=options.start,
        end=options.end,
        num_workers=options.workers,
        launcher=options.launcher,
        slurm_options=dict(option.partition('=')[::2] for option in options.slurm),
    )


def _verify(options: argparse.Namespace) -> None:
    from hyperinr import store_commands

    store_commands.verify_store(options.store, repair=options.repair, num_samples=options.samples)


def _inspect(options: argparse.Namespace) -> None:
    from hyperinr import store_commands

    store_commands.inspect_store(options.store, options.out)


def _export(options: argparse.Namespace) -> None:
    from hyperinr.neural_datasets.exchange import export_store

    print(export_store(options.store, options.path, format=options.format, fold_omega=options.fold_omega))


def _import(options: argparse.Namespace) -> None:
    from hyperinr.neural_datasets.exchange import import_store

    low, high = options.data_range
    print(import_store(options.path, options.store, format=options.format, data_range=(low, high)))


def _tune(options: argparse.Namespace) -> None:
    from hyperinr.searching.tune import tune

    tune(options.config, options.param, options.study, storage=options.storage, trials=options.trials)
