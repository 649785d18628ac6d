"""The kinds of tries, and the run, store and files that they begin with."""

import contextlib
import functools
import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperinr import cli
from tests import tiny_runs
from tests.fuzz import bindings, damaged_files, library_calls
from tests.fuzz.attempts import Try
from tests.neural_datasets import tiny_store

__all__ = ['KINDS', 'Subjects', 'prepare']


class Subjects(NamedTuple):
    """What tries begin with.

    Attributes:
      folder: scratch folder, emptied before each try.
      run: a finished run.
      config: its config.
      store: a complete store.
      images: a folder of PNG files.
      singles: a folder with one file of each kind.
    """

    folder: Path
    run: Path
    config: str
    store: Path
    images: Path
    singles: Path

    def attempt(self, seed: int, kinds: Sequence[str]) -> tuple[str, Try]:
        """Return the kind and the try of a seed."""
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        rng = np.random.default_rng(seed)
        kind = str(rng.choice(list(kinds)))
        return kind, KINDS[kind](rng, self, seed)


def _options(rng: np.random.Generator, subjects: Subjects, seed: int) -> Try:
    calls = bindings.option_tries(subjects.run, subjects.store, subjects.images / '0.png', subjects.folder)
    return bindings.options(rng, subjects.folder, calls)


@functools.cache
def _calls(run: Path, store: Path, folder: Path) -> tuple:
    folder.mkdir(exist_ok=True)
    return library_calls.calls(folder, run, store)


KINDS: dict[str, Callable[[np.random.Generator, Subjects, int], Try]] = {
    'bindings': lambda rng, all, seed: bindings.bindings(rng, all.folder, all.images),
    'options': _options,
    'run': lambda rng, all, seed: damaged_files.in_run(rng, all.folder, all.run, all.config, seed),
    'store': lambda rng, all, seed: damaged_files.in_store(rng, all.folder, all.store, seed),
    'files': lambda rng, all, seed: damaged_files.single(rng, all.folder, all.singles, seed),
    'library': lambda rng, all, seed: library_calls.library(
        rng, _calls(all.run, all.store, all.folder.parent / 'library')
    ),
}
"""Kind -> ``(rng, subjects, seed) -> Try``."""


def prepare(scratch: Path, run: Path | None = None) -> Subjects:
    """Make the subjects below ``scratch``; ``run`` may be a finished run of the default config."""
    images, singles, store = scratch / 'images', scratch / 'singles', scratch / 'store'
    tiny_runs.write_images(images)
    damaged_files.write_singles(singles)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        config = tiny_store.write_config(scratch)
        sizes = [word for each in tiny_store.SIZES for word in ('-p', each)]
        assert cli.main(['fit', str(config), '--store', str(store), *sizes, '--debug']) == 0
        if run is None:
            run = scratch / 'run'
            params = [word for each in tiny_runs.overrides(tiny_runs.DEFAULT) for word in ('-p', each)]
            assert cli.main(['train', tiny_runs.DEFAULT, '--run', str(run), *params, '--debug']) == 0
    (scratch / 'folder').mkdir()
    return Subjects(scratch / 'folder', run, str(run / 'config.gin'), store, images, singles)
