"""A search in its folder: the config and the space that it began with, and its trials."""

import hashlib
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperinr import config, library
from hyperinr.config.values import Config
from hyperinr.errors import InputError
from hyperinr.files import check_writable_folder, replacing
from hyperinr.searching import space as spaces
from hyperinr.searching import study as studies
from hyperinr.searching.study import Trials
from hyperinr.searching.together import Cadence
from hyperinr.sweeping.space_file import SweepSpace, check_bindings, find_space, read_space
from hyperinr.training import loop
from hyperinr.training.evaluators import held_out_psnr
from hyperinr.training.spans import span

__all__ = ['CONFIG', 'SPACE', 'Sweep', 'cadence_of', 'figures_file', 'open_sweep', 'say', 'trial_folder']

CONFIG, SPACE = 'config.gin', 'space.toml'


class Sweep(NamedTuple):
    """A search that is open.

    Attributes:
      base: the config that trials override.
      wanted: the space file.
      folder: of the search; holds a copy of both.
      trials: kept by Optuna.
    """

    base: Config
    wanted: SweepSpace
    folder: Path
    trials: Trials

    def resolved(self, drawn: spaces.Draw) -> Config:
        """The config of a trial."""
        return config.load_config(str(self.folder / CONFIG), spaces.bindings(drawn))


def open_sweep(
    name: str,
    overrides: Sequence[str],
    folder: str | os.PathLike,
    *,
    space: str | os.PathLike,
    storage: str,
    num_trials: int | None,
) -> Sweep:
    """Begins a search or opens the one in ``folder``.

    Raises:
      InputError: a wrong config, space or folder, or another search in it; nothing is written then.
    """
    wanted = read_space(space)
    base = config.load_config(name, overrides)
    check_bindings(base.text, wanted.space)
    with config.applied(base):
        experiment = library.compose()
    folder = Path(folder)
    content = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if content and CONFIG not in content:
        raise InputError(f'{folder} is not empty and holds no search; give a new or empty folder.')
    folder = check_writable_folder(folder)
    for file, text in ((CONFIG, base.text), (SPACE, find_space(space).read_text(encoding='utf-8'))):
        if not (folder / file).is_file():
            with replacing(folder / file) as temporary:
                temporary.write_text(text, encoding='utf-8')
    # Not the number of trials, which may grow, nor how they are chosen.
    digest = hashlib.sha256(f'{base.text}\n{wanted.space}\n{wanted.objective} {wanted.direction}'.encode()).hexdigest()
    trials = studies.open_trials(
        folder,
        wanted.space,
        total=num_trials or wanted.num_trials,
        direction=wanted.direction,
        digest=digest,
        storage=storage,
        sampler=wanted.sampler,
        pruner=wanted.pruner,
        resources=(cadence_of(base).validate_every, experiment.num_steps),
        seed=wanted.seed,
    )
    return Sweep(base, wanted, folder, trials)


def cadence_of(resolved: Config) -> Cadence:
    """How often the runs of a config report and validate: what it binds, or the defaults.

    Raises:
      InputError: the held-out PSNR is not measured every so many steps.
    """
    bound = {setting.name for setting in resolved.settings}

    def value(name: str, function: Callable[..., Any]) -> Any:
        default = inspect.signature(function).parameters[name.rpartition('.')[2]].default
        return resolved.value(name) if name in bound else default

    text = value('evaluators.held_out_psnr.every', held_out_psnr)
    every = span(text)
    if every.unit != 'step':
        raise InputError(f'a sweep validates after steps: set held_out_psnr.every to a number of steps, not {text!r}.')
    most = value('evaluators.held_out_psnr.num_datapoints', held_out_psnr)
    return Cadence(value('loop.train.log_every', loop.train), int(every.amount), most)


def trial_folder(folder: Path, trial: Any) -> Path:
    """Of a trial's run: one that is begun again goes on where the first left off."""
    return folder / 'trials' / f'{trial.user_attrs.get("retry_of", trial.number):04d}'


def figures_file(folder: Path, trial: Any) -> Path:
    """Of a trial that ran together with others and has no run of its own."""
    return folder / 'figures' / f'{trial.number:04d}.jsonl'


def say(trial: Any) -> None:
    """A line for a trial that has ended."""
    reason = trial.user_attrs.get('reason')
    value = 'no value' if trial.value is None else f'{trial.value:.6g}'
    print(f'trial {trial.number}: {trial.state.name.lower()}, {reason or value}', flush=True)
