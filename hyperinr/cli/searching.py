"""The verbs that search: ``sweep`` and ``tune``."""

import argparse

from hyperinr.cli.arguments import AddVerb, add_config, add_params, option

__all__ = ['add_search_verbs']


def add_search_verbs(add: AddVerb) -> None:
    """Declare ``sweep`` and ``tune``."""
    sweep = add('sweep', _sweep, 'search the bindings of a config by trials of training; continues an earlier search')
    add_config(sweep)
    sweep.add_argument('--space', metavar='FILE', help='TOML file of the search space and settings (docs/searching.md)')
    sweep.add_argument('--run', metavar='DIR', required=True, help='folder for the trials and the best config')
    sweep.add_argument('--workers', type=int, default=1, metavar='N', help='processes (default: 1)')
    sweep.add_argument('--launcher', default='local', help='local or ray (default: local)')
    sweep.add_argument(
        '--vmapped',
        type=int,
        metavar='N',
        help='trials in one program (default: 8 if only the seed and numbers of the optimiser change; 1: never)',
    )
    sweep.add_argument('--trials', type=int, metavar='N', help="number of trials (default: the space file's)")
    sweep.add_argument('--storage', help='sqlite or journal (default: that of the folder, else sqlite)')
    sweep.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    add_params(sweep)

    tune = add('tune', _tune, 'search the bindings of a config for the best neural dataset')
    add_config(tune)
    option(tune, '--study', 'DIR', 'folder for the trials and the best config', required=True)
    option(tune, '--trials', 'N', "number of trials (default: the config's)", type=int)
    option(tune, '--storage', 'NAME', 'sqlite or journal (default: that of the folder, else sqlite)')
    add_params(tune)


def _sweep(options: argparse.Namespace) -> None:
    from hyperinr.errors import InputError
    from hyperinr.searching.sweep import sweep, work

    if options.worker:
        work(options.run, storage=options.storage, num_trials=options.trials)
        return
    if options.space is None:
        raise InputError('--space FILE is missing: a TOML file of the search space (docs/searching.md).')
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


def _tune(options: argparse.Namespace) -> None:
    from hyperinr.searching.tune import tune

    tune(options.config, options.param, options.study, storage=options.storage, trials=options.trials)
