"""The verb of ``hyperinr`` that searches: ``sweep``."""

import argparse

from hyperinr.arguments import add_config, add_params
from hyperinr.store_verbs import AddVerb

__all__ = ['add_sweep_verb']


def add_sweep_verb(add: AddVerb) -> None:
    """Declares ``sweep``."""
    sweep = add('sweep', _sweep, 'search the bindings of a config by trials of training; goes on where it was')
    add_config(sweep)
    sweep.add_argument('--space', metavar='FILE', help='TOML: what to search, and how (docs/searching.md)')
    sweep.add_argument('--run', metavar='DIR', required=True, help='keeps the trials, and gets the best config')
    sweep.add_argument('--workers', type=int, default=1, metavar='N', help='processes (default: 1)')
    sweep.add_argument('--launcher', default='local', help='local or ray (default: local)')
    sweep.add_argument(
        '--vmapped',
        type=int,
        metavar='N',
        help='trials in one program (default: 8 where only seed and numbers of the optimiser change; 1: never)',
    )
    sweep.add_argument('--trials', type=int, metavar='N', help="how many (default: the space file's)")
    sweep.add_argument('--storage', help="sqlite or journal (default: the folder's, else sqlite)")
    sweep.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    add_params(sweep)


def _sweep(options: argparse.Namespace) -> None:
    from hyperinr.errors import InputError
    from hyperinr.searching.sweep import sweep, work

    if options.worker:
        work(options.run, storage=options.storage, num_trials=options.trials)
        return
    if options.space is None:
        raise InputError('--space FILE is missing: a TOML file that says what to search (docs/searching.md).')
    sweep(
        options.config,
        options.param,
        options.run,
        space=options.space,
        num_workers=options.workers,
        launcher=options.launcher,
        vmapped=options.vmapped,
        storage=options.storage,
        num_trials=options.trials,
    )
