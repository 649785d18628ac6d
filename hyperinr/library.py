"""From a run directory to a model, and from a gin configuration to an experiment."""

import functools
import inspect
import os
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hyperinr import config
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.files.models import in_structure, is_saved_model, read_model
from hyperinr.inrs.initialisation import Initialisation, in_range
from hyperinr.model import Model
from hyperinr.neural_datasets.plan import Job, Plan, make_job, neural_dataset
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.tuning import Search, search
from hyperinr.training.checkpoints import check_run, restore_newest
from hyperinr.training.experiment import Experiment, experiment
from hyperinr.training.run_directory import read_spec
from hyperinr.training.watching.best_checkpoint import BEST
from hyperinr.types import Encoder, Hypernetwork, Inr, MetaLearner

__all__ = ['compose', 'compose_job', 'compose_search', 'compose_signals', 'load', 'run_config', 'single_inr']


@checked
def load(
    run_dir: str | os.PathLike,
    *,
    best: bool = False,
    trust: bool = False,
    inr: Callable[..., Inr] | None = None,
    encoder: Callable[..., Encoder] | None = None,
    hypernetwork: Callable[..., Hypernetwork] | None = None,
    learner: Callable[..., MetaLearner] | None = None,
    optimizer: Callable[..., optax.GradientTransformation] | None = None,
) -> Model:
    """Load a saved model, or the model of a run, finished or not, from its newest undamaged checkpoint.

    The run's data are not needed. Gin's state is restored, so a program with its own gin configuration can call this.

    Args:
      run_dir: folder that `hyperinr train`, `hyperinr.train` or `Model.save` wrote.
      best: take the best checkpoint instead; a run with `training.best_checkpoint` keeps one.
      trust: let the run's config name any function, which is then called; by default only the parts of hyperinr.
      inr, encoder, hypernetwork, learner, optimizer: the part that `hyperinr.train` was given, where the config cannot
        name it.

    Returns:
      A `Model` with the moving average of the parameters.

    Raises:
      InputError: no run or saved model there, no undamaged checkpoint, no best checkpoint, a checkpoint of another
        model than the run's config describes, a config that names something else than parts of hyperinr, or a part that
        the config cannot name.

    Example:
      >>> model = hyperinr.load('runs/demo')  # doctest: +SKIP
      >>> weights = model.generate(datapoints)  # doctest: +SKIP
    """
    folder = Path(run_dir)
    checkpoints = folder / (BEST if best else 'checkpoints')
    saved = read_model(folder) if is_saved_model(folder) and not best else None
    if saved is None:
        check_run(checkpoints)
    resolved = run_config(run_dir, trust=trust)
    spec = read_spec(run_dir)
    given = {'inr': inr, 'encoder': encoder, 'hypernetwork': hypernetwork, 'learner': learner, 'optimizer': optimizer}
    with config.applied(resolved):
        built = compose(**{name: part for name, part in given.items() if part is not None}).build(spec)
    like = jax.eval_shape(built.init, jax.random.key(0), spec.zeros())
    if saved is not None:
        tensors, metadata = saved
        params = in_structure(tensors, like.average)
        if params is None:
            raise InputError(f'{folder} holds parameters of another model than its config and the given parts make.')
        return Model(built, params, spec, metadata, resolved.text)
    restored = restore_newest(checkpoints, like)
    if restored is None and best:
        raise InputError(f'{run_dir} keeps no best checkpoint; take the newest, or train with run/early_stopping.gin.')
    if restored is None:
        raise InputError(f'{run_dir} has no checkpoint yet; train it first: hyperinr train CONFIG --run {run_dir}.')
    for note in restored.notes:
        warnings.warn(note, stacklevel=2)
    params = jax.tree.map(jnp.asarray, restored.state.average)
    metadata = {'run': str(run_dir), 'step': restored.step, 'dataset': spec.name}
    return Model(built, params, spec, metadata, resolved.text)


def run_config(run_dir: str | os.PathLike, bindings: Sequence[str] = (), *, trust: bool = False) -> config.Config:
    """Read the config of a run, overridden by ``bindings`` (``'evaluate.num_datapoints = 8'``).

    Raises:
      InputError: no run there, a run that was composed in Python and has no config, a wrong binding, or, without
        ``trust``, a config that names something else than parts of hyperinr.
    """
    path = Path(run_dir) / 'config.gin'
    if not path.is_file():
        raise InputError(
            f'{run_dir} holds no run with a config ({path.name} is missing); '
            'give the folder of --run in `hyperinr train`.'
        )
    return config.load_config(str(path), bindings, trusted=trust)


def compose(**parts: Any) -> Experiment:
    """Compose the experiment of the config that `config.applied` holds. Call its factories inside that block.

    Args:
      **parts: arguments of `experiment` that replace the config's.

    Raises:
      InputError: a factory refuses a value in the config. The experiment's own factories raise it in the same way.
    """
    made: Experiment = _checked(config.configured(experiment))(**parts)
    return made._replace(dataset=_checked(made.dataset), build=_checked(made.build))


def compose_job(resolved: config.Config, *, trust: bool = False) -> Job:
    """Compose the job of fitting a neural dataset from the experiment's dataset and INR, and from `neural_dataset`.

    Args:
      resolved: the config.
      trust: see `load`; for starts from a run.

    Raises:
      InputError: see `compose_signals`; or a start needs a run that does not exist.
    """
    plan, inr, signals = compose_signals(resolved)
    return make_job(plan, inr, signals, config_text=resolved.text, load_model=functools.partial(load, trust=trust))


def compose_search(resolved: config.Config) -> Search:
    """Compose the search of a config that binds ``tuning.search``.

    Raises:
      InputError: the config has no search, or one of its values is refused.
    """
    with config.applied(resolved):
        return _checked(config.configured(search))()


def compose_signals(resolved: config.Config) -> tuple[Plan, Inr, Signals]:
    """Compose the parts of `compose_job` that need no trained model.

    Raises:
      InputError: a factory refuses a value in the config, or the config has no dataset or INR.
    """
    with config.applied(resolved):
        unused = dict.fromkeys(('encoder', 'hypernetwork', 'learner', 'optimizer'), _no_part)
        made = compose(**unused, num_steps=1, batch_size=1, seed=0)
        plan = _checked(config.configured(neural_dataset))()
        dataset = made.dataset()
        inr = in_range(_checked(made.inr)(channels=dataset.spec.channels), dataset.spec.data_range)
        return plan, inr, Signals(dataset, plan.splits)


def _no_part(**_: Any) -> Any:
    raise AssertionError('fitting needs no meta-learner')


def single_inr(
    name: str, bindings: Sequence[str] = (), *, channels: int, initialisation: Initialisation | None = None
) -> Inr:
    """Compose an INR outside any experiment, from the name of its family or a gin file that binds ``experiment.inr``.

    Args:
      name: ``'siren'`` for ``inr/siren.gin``, or a gin file.
      bindings: overrides, ``'siren.width = 32'``.
      channels: C.
      initialisation: replaces the family's own.

    Raises:
      InputError: no such family or file, a wrong binding or value, a family that takes no initialisation.
    """
    resolved = config.load_config(name if name.endswith('.gin') else f'inr/{name}', bindings)
    factory = resolved.value('experiment.experiment.inr').target.function
    options: dict[str, Any] = {'channels': channels}
    if initialisation is not None:
        if 'initialisation' not in inspect.signature(factory).parameters:
            raise InputError(f'{name} takes no initialisation but its own; leave --initialisation out.')
        options['initialisation'] = initialisation
    with config.applied(resolved):
        inr: Inr = _checked(config.configured(factory))(**options)
    return inr


def _checked(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``factory``, raising InputError for an argument that it refuses: the arguments come from a config."""

    @functools.wraps(factory)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return factory(*args, **kwargs)
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            if not _is_complaint(error):
                raise
            raise InputError(str(error)) from error

    return wrapper


def _is_complaint(error: Exception) -> bool:
    """Tell whether a factory of hyperinr refused or lacks a value; any other error is a defect."""
    if isinstance(error, TypeError):
        return 'required keyword-only argument' in str(error)
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and Path(frames[-1]).is_relative_to(Path(__file__).parent)
