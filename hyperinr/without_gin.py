"""Train from Python: parts in, a run and its model out, as the command `hyperinr train` makes them."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optax

from hyperinr import config, encoders, library
from hyperinr.annotations import checked
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.model import Model
from hyperinr.training import in_python, loop
from hyperinr.training.watching.best_checkpoint import BestCheckpoint
from hyperinr.training.watching.evaluators.base import Evaluator
from hyperinr.training.watching.loggers import Logger, Record
from hyperinr.training.watching.stop_rules import StopRule
from hyperinr.types import DatasetSpec, Encoder, Hypernetwork, Inr, MetaLearner

__all__ = ['train']

DEFAULTS = 'experiment/photo_patches_siren.gin'
"""The config of the parts and values that are not given."""
PARTS = ('inr', 'encoder', 'hypernetwork', 'learner', 'optimizer')


@checked
def train(
    dataset: Dataset | Callable[[], Dataset],
    run: str | os.PathLike,
    *,
    inr: Callable[..., Inr] | None = None,
    encoder: Callable[..., Encoder] | None = None,
    hypernetwork: Callable[..., Hypernetwork] | None = None,
    learner: Callable[..., MetaLearner] | None = None,
    optimizer: Callable[..., optax.GradientTransformation] | None = None,
    num_steps: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    log_every: int | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    loggers: Sequence[Logger] | None = None,
    stop_rules: Sequence[StopRule] | None = None,
    best: BestCheckpoint | None = None,
    report: Callable[[Record], None] | None = None,
) -> Model:
    """Train a hypernetwork on a dataset, and return its model. The same call resumes a run that was interrupted.

    A part is a factory of hyperinr or your own, with `functools.partial` for the arguments that it shall have:
    ``inr=partial(inrs.siren, width=64)``. An argument that is itself made by a factory is given in the same way:
    ``hypernetwork=partial(hypernetworks.weight_heads, rates=partial(hypernetworks.learned_rates, num_steps=3))``. What
    is not given is as in ``experiment/photo_patches_siren.gin``.

    The run is one of `hyperinr train`: `hyperinr.load` and all commands take it. Its ``config.gin`` names each part by
    its importable name. A part without one (a lambda, a function of the program that runs, an argument that is no
    literal) trains as well; `hyperinr.load` then needs it again. A part of your own module needs ``trust=True`` there.
    Commands that need the data take a run whose dataset is a partial with literal arguments, such as
    ``partial(datasets.from_arrays, train='train.npy')``.

    Args:
      dataset: a dataset, or what makes it.
      run: folder of the run, new, empty, or of the same run.
      inr: ``(channels=) -> Inr``.
      encoder: ``(spec=) -> Encoder``; ``None``: `encoders.convolutional` on the grids that it takes, else
        `encoders.set_encoder`.
      hypernetwork: ``(inr=, encoder=) -> Hypernetwork``; ``None``: as many rates as the learner has steps.
      learner: ``(hypernetwork=, inr=, optimizer=, data_range=) -> MetaLearner``.
      optimizer: ``(num_steps=) -> optax.GradientTransformation``, the outer optimiser.
      num_steps: number of outer updates, >= 1.
      batch_size: datapoints of an update, >= 1.
      seed: seed of initialisation, batches and all other random draws.
      log_every, checkpoint_every, keep_checkpoints, evaluators, loggers, stop_rules, best, report: see
        `hyperinr.training.loop.train`; ``None``: as in ``run/default.gin``.

    Returns:
      The model of the newest checkpoint.

    Raises:
      InputError, RunError, KeyboardInterrupt: as for `hyperinr.training.loop.train`.

    Example:
      >>> model = hyperinr.train(dataset, 'runs/mine', num_steps=1000)  # doctest: +SKIP
    """
    every = dict(zip(PARTS, (inr, encoder, hypernetwork, learner, optimizer), strict=True))
    parts = {name: part for name, part in every.items() if part is not None}
    made = dataset if isinstance(dataset, Dataset) else dataset()
    data = in_python.dataset if isinstance(dataset, Dataset) else dataset
    given: dict[str, Callable[..., Any]] = {'dataset': data, 'encoder': _suitable_encoder(made.spec), **parts}
    bindings = [f'BATCH_SIZE={batch_size}', f'SEED={seed}']
    bindings += [f'NUM_STEPS={num_steps}'] if num_steps is not None else []
    if hypernetwork is None and isinstance(learner, functools.partial) and learner.keywords.get('num_steps'):
        bindings += [f'learned_rates.num_steps={learner.keywords["num_steps"]}']
    default = config.load_config(DEFAULTS)
    others = [default.value(f'experiment.experiment.{name}').target.function for name in PARTS if name not in given]
    text, unnamed = config.describe(given, beside=others)
    include = f"include '{config.find(DEFAULTS, folders=[config.config_root()])}'\n"
    resolved = config.load_text(f'{include}{text}', bindings, name='hyperinr.train')
    _check_calls(parts)
    wanted = {
        'log_every': log_every,
        'checkpoint_every': checkpoint_every,
        'keep_checkpoints': keep_checkpoints,
        'evaluators': evaluators,
        'loggers': loggers,
        'stop_rules': stop_rules,
        'best': best,
        'report': report,
    }
    options: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    with config.applied(resolved):
        composed = library.compose(**{**unnamed, 'dataset': lambda: made})
        config.configured(loop.train)(composed, run, config_text=resolved.text, **options)
    again: dict[str, Any] = {name: part for name, part in unnamed.items() if name != 'dataset'}
    return library.load(run, trust=True, **again)


def _check_calls(parts: Mapping[str, Callable[..., Any]]) -> None:
    """Raise `InputError` for a part that does not take the arguments that it is called with."""
    for name, part in parts.items():
        wanted = [each for each in inspect.signature(getattr(in_python, name)).parameters if each != 'origin']
        bound = part if isinstance(part, functools.partial) else functools.partial(part)
        try:
            inspect.signature(bound.func).bind(*bound.args, **{**bound.keywords, **dict.fromkeys(wanted)})
        except TypeError as error:
            call = f'{name}({", ".join(f"{each}=..." for each in wanted)})'
            raise InputError(f'hyperinr.train calls {call}: {error}; wrap it in a function that takes them.') from error


def _suitable_encoder(spec: DatasetSpec) -> Callable[..., Encoder]:
    try:
        encoders.convolutional(spec=spec)
    except InputError:
        return encoders.set_encoder
    return encoders.convolutional
