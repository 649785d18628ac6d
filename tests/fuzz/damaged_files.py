"""Tries of damaged files: those of a run, of a store, of a search, weights, signals of any kind, and a space file."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hyperinr
from hyperinr import files, kinds
from hyperinr.neural_datasets import open_store, worker
from hyperinr.searching.space_file import read_space
from hyperinr.training import loop
from tests.fuzz.attempts import Try, command, shown, stopping
from tests.fuzz.values import damaged
from tests.kinds import test_every_kind

__all__ = ['in_run', 'in_search', 'in_store', 'single', 'write_singles']


def _damage(folder: Path, rng: np.random.Generator, *, names: tuple[str, ...] = ('*',)) -> Path:
    """Damage one file below ``folder``, or remove it, or put a folder in its place; return its relative path."""
    paths = sorted(path for name in names for path in folder.rglob(name) if path.is_file())
    path = paths[int(rng.integers(len(paths)))]
    kind = int(rng.integers(25))
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path.relative_to(folder)


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def in_run(rng: np.random.Generator, folder: Path, run: Path, config: str, seed: int) -> Try:
    """A run with one damaged file is loaded, or continued."""
    copy = _copy(run, folder / 'run')
    names = ('config.gin', 'run.json', 'spec.json', 'versions.json', 'metrics.jsonl', 'summary.json')
    damaged_file = _damage(copy, rng, names=('*',) if rng.random() < 0.4 else names)
    loads = rng.random() < 0.5

    def call() -> None:
        if loads:
            hyperinr.load(copy)
            return
        with stopping((loop, 'prepare', True)):
            command(['train', str(copy / 'config.gin') if rng.random() < 0.3 else config, '--run', str(copy)], folder)

    kind = damaged_file.name if len(damaged_file.parts) == 1 else 'checkpoints'
    return Try(f'run: {kind}, {"load" if loads else "train"}', f'seed {seed}: {damaged_file}', call)


def in_store(rng: np.random.Generator, folder: Path, store: Path, seed: int) -> Try:
    """A store with one damaged file is verified, continued, exported, inspected or read."""
    copy = _copy(store, folder / 'store')
    damaged_file = _damage(copy, rng, names=('dataset.json',) if rng.random() < 0.5 else ('*',))
    calls = (
        ['verify', '--store', str(copy), '--samples', '2'],
        ['verify', '--store', str(copy), '--samples', '0', '--repair'],
        ['fit', '--store', str(copy)],
        ['export', '--store', str(copy), str(folder / 'x.npz'), '--format', 'npz'],
        ['inspect', '--store', str(copy), '--out', str(folder / 'page')],
        None,
    )
    arguments = calls[int(rng.choice(len(calls), p=(0.25, 0.15, 0.15, 0.1, 0.05, 0.3)))]

    def call() -> None:
        if arguments is not None:
            with stopping((worker, 'open_for_fitting', True)):
                command(arguments, folder)
            return
        opened = open_store(copy)
        opened.weights()
        opened.pytrees([0])
        opened.where(status='ok')
        opened.split({'train': 0.5, 'test': 0.5})
        opened.missing()
        _ = opened.inr

    kind = damaged_file.suffix if damaged_file.suffix == '.safetensors' else damaged_file.name
    what = arguments[0] if arguments else 'open_store'
    return Try(f'store: {kind}, {what}', f'seed {seed}: {damaged_file}', call)


def write_singles(folder: Path) -> None:
    """Write one small file of each kind that is read by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(256, size=(7, 9, 3), dtype=np.uint8)
    for suffix in ('png', 'jpg', 'tif', 'webp', 'bmp'):
        Image.fromarray(pixels).save(folder / f'image.{suffix}')
    Image.fromarray(pixels[..., 0].astype(np.uint16)).save(folder / 'deep.png')
    np.save(folder / 'image.npy', pixels)
    weights = {
        'layer_0': {'w': np.zeros((2, 4), np.float32), 'b': np.zeros(4, np.float32)},
        'layer_1': {'w': np.zeros((4, 3), np.float32), 'b': np.zeros(3, np.float32)},
    }
    metadata = hyperinr_siren_metadata()
    for suffix in ('npz', 'safetensors'):
        files.write_weights(folder / f'weights.{suffix}', weights, metadata)
    space = Path(__file__).parents[2] / 'gin_configs' / 'sweep'
    for path in space.glob('*.toml'):
        shutil.copy(path, folder)
    for name in kinds.KINDS:
        (folder / 'kinds' / name).mkdir(parents=True)
        with contextlib.suppress(pytest.skip.Exception):  # Its package is not installed.
            test_every_kind.written(name, folder / 'kinds' / name)


def hyperinr_siren_metadata() -> dict:
    from hyperinr import inrs

    return dict(inrs.siren(channels=3, width=4, depth=1).metadata)


def single(rng: np.random.Generator, folder: Path, singles: Path, seed: int) -> Try:
    """One damaged file is read by the library, or by ``fit-one``."""
    copy = _copy(singles, folder / 'singles')
    damaged_file = copy / _damage(copy, rng)

    def call() -> None:
        if damaged_file.parent.name in kinds.KINDS:
            test_every_kind.read(damaged_file.parent.name, damaged_file)
        elif damaged_file.suffix == '.toml':
            read_space(damaged_file)
        elif damaged_file.suffix in ('.npz', '.safetensors'):
            files.read_weights(damaged_file)
            if rng.random() < 0.5:
                arguments = ['fit-one', str(singles / 'image.png'), '--initialisation', str(damaged_file), '--out']
                arguments += [str(folder / 'out'), '--num-steps', '1', '--rate', '1e-3', '-p', 'siren.width=4']
                command([*arguments, '-p', 'siren.depth=1'], folder)
        else:
            files.read_image(damaged_file)

    return Try(f'file: {damaged_file.suffix}', f'seed {seed}: {damaged_file.name}', call)


def in_search(rng: np.random.Generator, folder: Path, search: Path, arguments: list[str], seed: int) -> Try:
    """A folder of a search with one damaged file is continued."""
    copy = _copy(search, folder / 'search')
    damaged_file = _damage(copy, rng)
    arguments = [*arguments[:-1], str(copy)]
    return Try(f'search: {damaged_file.name}', shown(arguments), lambda: command(arguments, folder))
