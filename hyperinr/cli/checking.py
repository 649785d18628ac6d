"""The verb that checks a run before it is trained: ``check``."""

import argparse
from pathlib import Path

from hyperinr.cli.arguments import AddVerb, add_config, add_params, option

__all__ = ['add_verbs']


def add_verbs(add: AddVerb) -> None:
    """Declare ``check``."""
    check = add('check', _check, 'check a run before it is trained: data, INR, hypernetwork, short run')
    add_config(check)
    option(check, '--run', 'DIR', 'folder for the picture and the findings (default: checks/NAME)')
    option(check, '--json', 'FILE', 'file for the findings (default: DIR/check.json)')
    check.add_argument(
        '--stages', '--rungs', metavar='N', type=int, nargs='+', default=[1, 2, 3, 4], help='default: 1 2 3 4'
    )
    option(check, '--target', 'DB', 'target PSNR of one INR alone (default: its mean + 10 dB)', type=float)
    option(check, '--memory', 'GIB', 'memory that a step may take (default: all free memory)', type=float)
    option(check, '--updates', 'N', 'updates of a short training (default: 24 to 60, by their cost)', type=int)
    add_params(check)


def _check(options: argparse.Namespace) -> None:
    from hyperinr import checking
    from hyperinr.config import applied, load_config
    from hyperinr.library import compose
    from hyperinr.runtime.files import check_writable_folder, write_json

    asked = checking.Options(tuple(options.stages), options.target, options.memory, options.updates)
    config = load_config(options.config, options.param)
    with applied(config):
        experiment = compose()
        dataset = experiment.dataset()
        experiment.build(dataset.spec)
        folder = check_writable_folder(options.run or Path('checks') / config.source.stem)
        picture, findings = folder / 'data.png', Path(options.json or folder / 'check.json')
        stages = checking.check(
            experiment,
            dataset,
            lambda num_steps: compose(num_steps=num_steps),
            options=asked,
            picture=picture if 1 in asked.stages else None,
            say=lambda stage: print('\n'.join(checking.lines(stage)), flush=True),
        )
    write_json(findings, checking.as_json(stages))
    for path in ([picture] if 1 in asked.stages else []) + [findings]:
        print(path)
    checking.raise_if_any(stages)
