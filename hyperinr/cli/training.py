"""The verbs that train a meta-learner and evaluate what was trained: ``train`` and ``evaluate``."""

import argparse
import os
from pathlib import Path

from hyperinr.cli.arguments import AddVerb, add_best, add_config, add_params, add_run, option
from hyperinr.cli.device import device_configs

__all__ = ['add_verbs']


def add_verbs(add: AddVerb) -> None:
    """Declare ``train`` and ``evaluate``."""
    train = add('train', _train, 'meta-train; continues from a checkpoint in the run directory')
    add_config(train)
    option(train, '--run', 'DIR', 'run directory (default: the name of the config, below runs/)')
    option(train, '--profile', 'N', 'trace N steps into DIR/profile', type=int)
    add_params(train)
    processes = train.add_argument_group('several processes', 'flags, else JAX_... in the environment, else Slurm')
    processes.add_argument('--distributed', action='store_true', help='this process is one of several of the run')
    option(processes, '--coordinator', 'HOST:PORT', 'address of process 0')
    option(processes, '--num-processes', 'N', 'of the run', type=int)
    option(processes, '--process', 'I', 'number of this process, from 0', type=int)

    evaluate = add('evaluate', _evaluate, 'held-out PSNR against fine-tuning steps and seconds, with the baselines')
    add_run(evaluate)
    add_best(evaluate)
    option(evaluate, '--json', 'FILE', 'file for the figures (default: DIR/evaluation.json)')
    add_params(evaluate)


def _train(options: argparse.Namespace) -> None:
    from hyperinr.config import applied, configured, load_config
    from hyperinr.library import compose
    from hyperinr.training import distributed, loop

    config = load_config(options.config, options.param, also=device_configs(options))
    run_dir = Path(options.run or options.machine.run_root / config.source.stem)
    profile = {'profile_steps': options.profile} if options.profile else {}
    rank = distributed.find_rank(
        options.distributed, options.coordinator, options.num_processes, options.process, os.environ
    )
    with distributed.joined(rank) as group, applied(config):
        configured(loop.train)(
            compose(), run_dir, machine=options.machine, config_text=config.text, group=group, **profile
        )


def _evaluate(options: argparse.Namespace) -> None:
    from hyperinr.config import applied, configured
    from hyperinr.evaluation import curves
    from hyperinr.inspection import report
    from hyperinr.library import compose, load, run_config
    from hyperinr.runtime.files import write_json

    config = run_config(options.run, options.param)
    model = load(options.run, best=options.best)
    with applied(config):
        result = configured(curves.evaluate)(model, compose().dataset())
    path = Path(options.json or Path(options.run) / 'evaluation.json')
    write_json(path, result.report)
    report.show(result, path)
