"""The verbs that search: ``sweep`` and ``tune``."""

import argparse

from hyperinr.cli.arguments import FIT_ON_MEMORY, AddVerb, add_config, add_params, option

__all__ = ['add_verbs']


def add_verbs(add: AddVerb) -> None:
    """Declare ``sweep`` and ``tune``."""
    sweep = add('sweep', _sweep, 'search the bindings of a config by trials of training; continues an earlier search')
    add_config(sweep)
    option(sweep, '--space', 'FILE', 'TOML file of the search space and settings (docs/searching.md)', required=True)
    option(sweep, '--run', 'DIR', 'folder for the trials and the best config', required=True)
    option(sweep, '--workers', 'N', 'processes', 1)
    option(sweep, '--launcher', 'NAME', 'local or ray', 'local')
    vmapped = 'trials in one program (default: 8 if only the seed and numbers of the optimiser change; 1: never)'
    option(sweep, '--vmapped', 'N', vmapped, type=int)
    option(sweep, '--trials', 'N', "number of trials (default: the space file's)", type=int)
    option(sweep, '--storage', 'NAME', 'sqlite or journal (default: that of the folder, else sqlite)')
    add_params(sweep)
    sweep.set_defaults(on_memory='lower --vmapped, --workers, BATCH_SIZE or the model size', goes_on=True)

    tune = add('tune', _tune, 'search the bindings of a config for the best neural dataset')
    add_config(tune)
    option(tune, '--study', 'DIR', 'folder for the trials and the best config', required=True)
    option(tune, '--trials', 'N', "number of trials (default: the config's)", type=int)
    option(tune, '--storage', 'NAME', 'sqlite or journal (default: that of the folder, else sqlite)')
    add_params(tune)
    tune.set_defaults(on_memory=FIT_ON_MEMORY, goes_on=True)


def _sweep(options: argparse.Namespace) -> None:
    from hyperinr.searching.sweep import sweep

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
