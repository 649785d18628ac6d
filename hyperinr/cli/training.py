"""The verbs around a run: ``train`` a meta-learner, ``check`` it before, ``evaluate`` it afterwards."""

import argparse
import os
from pathlib import Path

from hyperinr.cli.arguments import AddVerb, add_config, add_params, add_run, option, whole_number
from hyperinr.cli.device import device_configs

__all__ = ['add_verbs']


def add_verbs(add: AddVerb) -> None:
    """Declare ``train``, ``check`` and ``evaluate``."""
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

    check = add('check', _check, 'check a run before it is trained: data, INR, hypernetwork, short run')
    add_config(check)
    option(check, '--run', 'DIR', 'folder for the picture and the findings (default: checks/NAME)')
    option(check, '--json', 'FILE', 'file for the findings (default: DIR/check.json)')
    check.add_argument(
        '--stages', '--rungs', metavar='N', type=whole_number, nargs='+', default=[1, 2, 3, 4], help='default: 1 2 3 4'
    )
    target = 'mean PSNR that one INR alone must reach (default: half-way from the mean value to a SIREN)'
    option(check, '--target', 'DB', target, type=float)
    option(check, '--memory', 'GIB', 'memory that a step may take (default: all free memory)', type=float)
    option(check, '--updates', 'N', 'updates of a short training (default: 24 to 60, by their cost)', type=int)
    add_params(check)

    evaluate = add('evaluate', _evaluate, 'held-out PSNR against fine-tuning steps and seconds, with the baselines')
    add_run(evaluate)
    option(evaluate, '--json', 'FILE', 'file for the figures (default: DIR/evaluation.json)')
    add_params(evaluate)
    train.set_defaults(goes_on=True)
    for command in (train, check):
        command.set_defaults(on_memory='lower BATCH_SIZE, the resolution or the model size')
    evaluate.set_defaults(on_memory='lower evaluate.num_datapoints, e.g. by -p curves.evaluate.num_datapoints=8')


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


def _check(options: argparse.Namespace) -> None:
    from hyperinr import checking
    from hyperinr.config import applied, load_config
    from hyperinr.library import compose
    from hyperinr.runtime.files import check_writable_folder
    from hyperinr.runtime.outputs import check_outputs, write_json_output

    asked = checking.Options(tuple(options.stages), options.target, options.memory, options.updates)
    config = load_config(options.config, options.param)
    folder = Path(options.run or Path('checks') / config.source.stem)
    picture = folder / 'data.png' if 1 in asked.stages else None
    findings = Path(options.json or folder / 'check.json')
    check_outputs(filter(None, (picture, findings)))
    with applied(config):
        experiment = compose()
        dataset = experiment.dataset()
        experiment.build(dataset.spec)
        check_writable_folder(folder)
        stages = checking.check(
            experiment,
            dataset,
            lambda num_steps: compose(num_steps=num_steps),
            options=asked,
            picture=picture,
            say=lambda stage: print('\n'.join(checking.lines(stage)), flush=True),
        )
    write_json_output(findings, checking.as_json(stages))
    print(*filter(None, (picture, findings)), sep='\n')
    checking.raise_if_any(stages)


def _evaluate(options: argparse.Namespace) -> None:
    from hyperinr.config import applied, configured
    from hyperinr.evaluation import curves
    from hyperinr.inspection import report
    from hyperinr.library import compose, load, run_config
    from hyperinr.runtime.outputs import write_json_output

    config = run_config(options.run, options.param, trust=options.trust)
    path = Path(options.json or Path(options.run) / 'evaluation.json')
    report.check_places(path)
    model = load(options.run, best=options.best, trust=options.trust)
    with applied(config):
        result = configured(curves.evaluate)(model, compose().dataset())
    write_json_output(path, result.report)
    report.show(result, path)
