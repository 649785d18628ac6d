"""The verbs around configs and data: ``prepare``, ``configs`` and ``describe``."""

import argparse

from hyperinr.cli.arguments import AddVerb, add_config, add_params, option
from hyperinr.cli.stores import explain_fit

__all__ = ['add_verbs']


def add_verbs(add: AddVerb) -> None:
    """Declare ``prepare``, ``configs`` and ``describe``."""
    prepare = add('prepare', _prepare, 'download and prepare an image dataset of tensorflow-datasets (extra `prepare`)')
    prepare.add_argument('name', metavar='NAME', help='mnist, fashion_mnist, cifar10, celeb_a, imagenette, ...')
    option(prepare, '--data-dir', 'DIR', 'folder for the data (default: $DATA_PATH or ~/.cache/hyperinr)')

    add('configs', _configs, 'list the configs that come with hyperinr')
    describe = add('describe', _describe, 'show every value of a config, with the file and line that set it')
    add_config(describe)
    add_params(describe)


def _prepare(options: argparse.Namespace) -> None:
    from hyperinr import datasets

    print(datasets.prepare(options.name, options.data_dir))


def _configs(options: argparse.Namespace) -> None:
    from hyperinr.config import available, config_root

    names = available()
    width = max(map(len, names), default=0)
    for name in names:
        first = (config_root() / name).read_text(encoding='utf-8').partition('\n')[0]
        print(f'{name:<{width}}  {first.removeprefix("#").strip()}'.rstrip())


def _describe(options: argparse.Namespace) -> None:
    from hyperinr.config import Macro, load_config

    config = load_config(options.config, options.param)
    rows = []
    for setting in config.settings:
        origin = f' (%{setting.value.name})' if isinstance(setting.value, Macro) else ''
        rows.append((setting.name, repr(config.value(setting.name)), setting.where + origin))
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, where in rows:
        print(f'{name:<{names}}  {value:<{min(values, 40)}}  {where}')
    if any(setting.name.startswith('plan.neural_dataset.') for setting in config.settings):
        print(f'\nhyperinr fit here: {explain_fit(config)}')
