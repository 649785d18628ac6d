"""Tries of bindings ``-p NAME=VALUE`` of every config that comes with hyperinr, and of options of every command."""

import functools
from pathlib import Path

import numpy as np

from hyperinr import config
from hyperinr.errors import InputError
from hyperinr.neural_datasets import worker
from hyperinr.searching import study
from hyperinr.training import loop
from tests.fuzz.attempts import Try, command, shown, stopping
from tests.fuzz.values import TEXTS
from tests.neural_datasets import tiny_store
from tests.tiny_runs import DEFAULT, overrides

__all__ = ['bindings', 'option_tries', 'options']


@functools.cache
def _parameters(name: str) -> tuple[str, ...]:
    """Return the names of all values of a config; none if the config is not complete by itself."""
    try:
        return tuple(setting.name for setting in config.load_config(name).settings)
    except InputError:
        return ()


@functools.cache
def _tiny(name: str) -> tuple[str, ...]:
    return tuple(overrides(name))


def _checked_only():
    """Commands end where training or fitting would begin."""
    return stopping((loop, 'prepare', True), (worker, 'open_for_fitting', False), (study, 'work_off', False))


def binding(name: str, bound: str, folder: Path, extra: tuple[str, ...] = ()) -> Try:
    """One binding of one config, by the command that uses the config."""
    if name.startswith('neural_dataset/'):
        arguments = ['fit', name, '--store', str(folder / 'store')]
    else:
        arguments = ['train', name, '--run', str(folder / 'run')]
    arguments += [word for each in (*extra, bound) for word in ('-p', each)]

    def call() -> None:
        with _checked_only():
            command(arguments, folder)

    return Try(f'binding of {bound.split("=")[0]}', shown([*arguments[:2], '-p', bound]), call)


def bindings(rng: np.random.Generator, folder: Path, images: Path) -> Try:
    """A wrong value of a random parameter of a random config."""
    names = [name for name in config.available() if name.split('/')[0] in ('experiment', 'neural_dataset')]
    while True:
        name = str(rng.choice(names))
        parameters = _parameters(name)
        if parameters and not name.startswith(('experiment/tfds', 'neural_dataset/image')):
            break
    parameter, value = str(rng.choice(parameters)), TEXTS[int(rng.integers(len(TEXTS)))]
    extra = _tiny(name) if name.startswith('experiment/') else ()
    if 'image_folder' in name:
        extra = (*extra, f"image_folder.path='{images}'")
    return binding(name, f'{parameter}={value}', folder, extra)


WORDS = (
    '-1', '0', '1', '2.5', '1e3', 'nan', 'inf', '-inf', '1e400', '9' * 30, '9' * 5000, '', ' ', 'a', '²', '٣', 'a\nb',
    '\udcff', 'a' * 300, 'a' * 5000, '/', '.', '..', '/dev/null', '/proc/self/mem', 'a/b/c', '-', '--', '~', '$HOME',
    '[/red]', '[red]', '%s', '{0}', 'a,b', '0,1', '1,0', '0,0', 'nan,1', 'layer_0', 'layer_[', '*', 'KEY=VALUE', '=',
)  # fmt: skip
"""Values of options and positional arguments."""


def option_tries(run: Path, store: Path, image: Path, folder: Path) -> list[list[str]]:
    """Right calls; each of their words is replaced by wrong ones."""
    tiny = [word for each in _tiny(DEFAULT) for word in ('-p', each)]
    tiny_config = tiny_store.write_config(folder.parent)
    sizes = [word for each in tiny_store.SIZES for word in ('-p', each)]
    new = str(folder / 'new')
    return [
        ['train', DEFAULT, '--run', new, '--profile', '1', *tiny],
        ['train', DEFAULT, '--run', new, '--device', 'one_core', *tiny],
        ['train', DEFAULT, '--run', new, '--coordinator', 'localhost:1', '--num-processes', '2', '--process', '0'],
        ['evaluate', '--run', str(run), '--json', str(folder / 'e.json'), '-p', 'evaluate.num_datapoints=0'],
        ['generate', '--run', str(run), str(image), '--out', new, '--format', 'npz', '--data-range', '0,1'],
        ['generate', '--run', str(run), str(image), '--out', new, '--tile', '--fold-omega', '--format', 'safetensors'],
        ['finetune', '--run', str(run), str(image), '--out', new, '--num-steps', '1'],
        ['fit-one', str(image), '--inr', 'siren', '--num-steps', '1', '--rate', '1e-3', '--out', new, '--seed', '0',
         '--longest-side', '8', '--points-per-step', '16', '--channels', '3', '--optimizer', 'adam', '--format', 'npz',
         '--freeze', 'layer_0', '-p', 'siren.width=4'],
        ['fit-one', str(image), '--num-steps', '0', '--initialisation', 'siren', '--out', new, '--rate', 'search'],
        ['fit', str(tiny_config), '--store', new, '--start', '0', '--end', '4', '--workers', '1', *sizes],
        ['fit', '--store', str(store), '--worker', '0/1', '--launcher', 'local'],
        ['verify', '--store', str(store), '--samples', '0', '--start', '0', '--end', '4'],
        ['export', '--store', str(store), str(folder / 'x'), '--format', 'npz'],
        ['import', '--store', new, str(image), '--format', 'npz', '--data-range', '0', '1'],
        ['sweep', DEFAULT, '--space', 'sweep/photo_patches.toml', '--run', new, '--workers', '1', '--trials', '0',
         '--vmapped', '1', '--storage', 'journal'],
        ['tune', 'neural_dataset/mnist_5k_tune.gin', '--study', new, '--trials', '0', '--storage', 'journal'],
        ['describe', DEFAULT, '-p', 'SEED=1'],
        ['check', DEFAULT, '--run', new, '--json', str(folder / 'c.json'), '--stages', '9', '--target', '1',
         '--memory', '1', '--updates', '1', *tiny],
        ['configs', '--device', 'default'],
    ]  # fmt: skip


def options(rng: np.random.Generator, folder: Path, calls: list[list[str]]) -> Try:
    """A call with one wrong word."""
    arguments = list(calls[int(rng.integers(len(calls)))])
    places = [index for index in range(1, len(arguments)) if arguments[index - 1] != '-p' and arguments[index] != '-p']
    place = int(rng.choice(places))
    changed = WORDS[int(rng.integers(len(WORDS)))]
    label = arguments[place] if arguments[place].startswith('--') else arguments[place - 1]
    arguments[place : place + 1] = [changed] if rng.random() < 0.9 else []

    def call() -> None:
        with _checked_only():
            command(arguments, folder)

    return Try(f'option of {arguments[0]} {label[:20]}', shown(arguments), call)
