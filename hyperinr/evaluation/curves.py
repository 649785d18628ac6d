"""Evaluation of generated weights on signals that training did not see, against other starts.

A *curve* is the mean PSNR over the datapoints while INRs are fine-tuned from one kind of start, and the means of the
figures that suit the kind of signal (`figures`). Steps of the ``generated`` curve count from the hypernetwork's raw
output, so the learner's adaptation steps are included. The others are those of `starts.other_starts`; each gets the
optimiser and learning rate that are best for it on another split.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import fitting, metrics
from hyperinr.datasets.base import Dataset, select, stack
from hyperinr.errors import InputError, RunError
from hyperinr.evaluation.figures import figures_of
from hyperinr.evaluation.measurement import Measured, Run, interval, measure
from hyperinr.evaluation.starts import FAMILIES, Start, other_starts
from hyperinr.meta_learning.observation import observed
from hyperinr.model import Model
from hyperinr.runtime.files import plain
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['Evaluation', 'Example', 'evaluate']


class Example(NamedTuple):
    """Reconstructions of one datapoint to be drawn, values in the data range.

    Attributes:
      name: name of the datapoint's source.
      spec: specification of the dataset, with a grid.
      original: ``[*grid, C]``.
      weight: ``[*grid]``, 0 on padding.
      reconstructions: caption -> ``[*grid, C]``, not clipped.
      psnr_db: caption -> dB.
    """

    name: str
    spec: DatasetSpec
    original: np.ndarray
    weight: np.ndarray
    reconstructions: Mapping[str, np.ndarray]
    psnr_db: Mapping[str, float]


class Evaluation(NamedTuple):
    """The result of `evaluate`.

    Attributes:
      report: JSON-serialisable: ``protocol``, ``num_datapoints`` and ``curves``; each curve has ``steps``, ``psnr_db``
        and the figures of the kind, such as ``ssim`` (means over the datapoints, ``None`` if not defined),
        ``psnr_db_interval`` (ends of the 95 % interval of the mean, by a bootstrap over `Source.origin`; ``None`` if
        all datapoints share one origin), ``seconds`` (per datapoint, from its start) and ``psnr_db_per_datapoint``
        ``[num_datapoints][len(steps)]``.
      examples: some datapoints to be drawn; empty for scattered points.
    """

    report: dict[str, Any]
    examples: tuple[Example, ...]


def evaluate(
    model: Model,
    dataset: Dataset,
    *,
    split: str = 'test',
    num_datapoints: int = 64,
    steps: Sequence[int] = (0, 1, 3, 10, 30, 100),
    search_split: str = 'validation',
    num_search_datapoints: int = 24,
    num_timing_datapoints: int = 8,
    num_examples: int = 4,
    optimizers: Sequence[str] = tuple(FAMILIES),
    seed: int = 0,
) -> Evaluation:
    """Fine-tune from generated weights and from other starts, and measure all of them.

    Args:
      model: a trained model.
      dataset: the dataset to evaluate on.
      split: name of the split to evaluate on.
      num_datapoints: number of datapoints, spread evenly over the split.
      steps: increasing numbers of fine-tuning steps to report, from 0 on.
      search_split: split on which the optimiser and learning rate of the other starts are searched; it should
        differ from ``split``. The score is the mean PSNR over ``steps``, without step 0.
      num_search_datapoints: datapoints in the search.
      num_timing_datapoints: datapoints that are timed.
      num_examples: datapoints to be drawn.
      optimizers: keys of `starts.FAMILIES` that the other starts choose from.
      seed: seed of the random starts.

    Returns:
      An `Evaluation`. Its ``protocol`` includes:

      - ``optimizers``: the optimiser and learning rate of each other start.
      - ``steps_to_reach``: the target is the mean PSNR of the generated weights after the learner's adaptation steps.
        Each other start has the ``steps`` that it needs for it, under the searched ``optimizer`` at the
        ``learning_rate`` that reached it first; ``None`` if none reaches it by the last of ``steps``.
      - ``least_margins``: smallest differences of mean PSNR in dB over *every* step, not only those of ``steps``.
        ``above_generated_db`` compares the weights that `generate` returns with all later steps of fine-tuning.
        ``above_random_db`` compares each step with the random start after the same number of steps.

      If training shows only part of a datapoint, every start is fitted to the same part and measured on all points. The
      other starts' learning rates are then searched on such parts, and ``steps_to_reach`` is ``None``.

    Raises:
      InputError: an unknown split or optimiser, wrong ``steps``, or datapoints that the model cannot take.
      RunError: the generated weights' values are not finite.
    """
    steps = tuple(int(step) for step in steps)
    if len(steps) < 2 or steps[0] != 0 or list(steps) != sorted(set(steps)):
        raise InputError(f'steps {steps} must increase and begin with 0, like (0, 1, 3, 10).')
    if isinstance(optimizers, str) or not optimizers or set(optimizers) - set(FAMILIES):
        raise InputError(
            f"evaluate.optimizers is a tuple of some of {', '.join(FAMILIES)}, such as ('adam',), not {optimizers!r}."
        )
    if num_search_datapoints < 1:
        raise InputError(f'evaluate.num_search_datapoints must be at least 1, not {num_search_datapoints}.')
    datapoints, positions = select(dataset, split, num_datapoints)
    searched, _ = select(dataset, search_split, num_search_datapoints)
    model.check(datapoints)
    model.check(searched)
    observe = jax.jit(jax.vmap(functools.partial(observed, model.learner)))
    shown, searched = (jax.device_get(observe(each)) for each in (datapoints, searched))
    partial = not np.array_equal(shown.weight, datapoints.weight)

    last, num_adapt = steps[-1], min(model.learner.num_steps, steps[-1])
    example_step = num_adapt or min(3, last)
    starts = other_starts(model, jax.tree.map(lambda leaf: leaf[0], datapoints), seed)
    found = {
        name: fitting.best_rate(
            start.inr,
            start.weights(searched),
            searched,
            num_steps=last,
            data_range=model.spec.data_range,
            score_steps=steps[1:],
            families={name: FAMILIES[name] for name in optimizers},
        )
        for name, start in starts.items()
    }
    runs: dict[str, Run] = {'generated': model.finetune}
    runs |= {name: _run_from(starts[name], each.name, each.rate) for name, each in found.items()}
    inr_of = {name: start.inr for name, start in starts.items()}
    recorded = tuple(sorted({*steps, example_step}))
    timed = sorted({0, num_adapt, last})
    draw_probe = getattr(dataset.splits[split], 'probe', None)
    probes = None if draw_probe is None else stack([draw_probe(position) for position in positions])
    measured = {
        name: measure(
            run,
            inr_of.get(name, model.inr),
            model.spec,
            shown,
            record_steps=recorded,
            timed_steps=timed if name == 'generated' else (0, last),
            num_timing_datapoints=num_timing_datapoints,
            target=datapoints if partial else None,
            probes=probes,
            num_kept=num_examples,
        )
        for name, run in runs.items()
    }
    if not np.isfinite(measured['generated'].psnr_db[:, 0]).all():
        raise RunError('the generated weights give values that are not finite: the training diverged; train again.')

    source = dataset.splits[split]
    names, origins = ([of(position) for position in positions] for of in (source.names, source.origin))
    target = float(measured['generated'].psnr_db[:, num_adapt].mean())
    report = {
        'protocol': {
            'dataset': model.spec.name,
            'split': split,
            'sources': names,
            'num_origins': len(set(origins)),
            'data_range': model.spec.data_range,
            'grid_shape': model.spec.grid_shape,
            'inr': model.inr.metadata,
            'model': model.metadata,
            'adaptation_steps': model.learner.num_steps,
            'psnr': 'mean over datapoints of the PSNR of each, values not clipped to the data range',
            **{name: figure.meaning for name, figure in figures_of(model.spec).items()},
            'seconds': f'of one datapoint in a batch of {min(num_timing_datapoints, len(names))}, all work since its '
            f'start, compiled before; measured at {" and ".join(map(str, timed))} steps, linear between',
            'search': {
                'split': search_split,
                'num_datapoints': len(searched.coords),
                'num_steps': last,
                'optimizers': list(optimizers),
            },
            'optimizers': {
                name: {'optimizer': choice.name, 'learning_rate': choice.rate} for name, choice in found.items()
            },
            'observed_fraction': (shown.weight > 0).sum() / (datapoints.weight > 0).sum(),
            'steps_to_reach': None
            if partial
            else {
                'psnr_db': target,
                'generated': {'steps': num_adapt},
                **{
                    name: _steps_to(target, model.spec, each, starts[name], datapoints, last)
                    for name, each in found.items()
                },
            },
            'least_margins': _least_margins(measured, num_adapt),
            'seed': seed,
            'device': jax.devices()[0].device_kind,
        },
        'num_datapoints': len(names),
        'curves': {name: _curve(each, steps, recorded, origins) for name, each in measured.items()},
    }
    examples = _examples(model, datapoints, names[:num_examples], measured, recorded, example_step)
    return Evaluation(plain(report), examples)


def _run_from(start: Start, family: str, rate: float) -> Run:
    optimizer = fitting.AtRate(FAMILIES[family].make, rate)

    def run(datapoints: Datapoint, /, **steps: Any) -> fitting.FitResult:
        return fitting.fit(start.inr, start.weights(datapoints), datapoints, optimizer=optimizer, **steps)

    return run


def _steps_to(
    target: float, spec: DatasetSpec, found: fitting.SearchResult, start: Start, datapoints: Datapoint, num_steps: int
) -> dict[str, Any]:
    """Find the optimiser that reached ``target`` dB first in the search, and the steps it needs on these datapoints."""
    trial = found.fastest_to(target)
    if trial is None:
        return {'steps': None, 'optimizer': None, 'learning_rate': None}
    mse = _run_from(start, trial.name, trial.rate)(datapoints, num_steps=num_steps).mse
    again = trial._replace(psnr_db=np.asarray(metrics.psnr_from_mse(mse, spec.data_range)).mean(axis=0))
    return {'steps': again.steps_to_reach(target), 'optimizer': trial.name, 'learning_rate': trial.rate}


def _least_margins(measured: Mapping[str, Measured], num_adapt: int) -> dict[str, np.ndarray]:
    generated, random = (measured[name].psnr_db.mean(axis=0) for name in ('generated', 'random'))
    return {
        'above_generated_db': np.min(generated[num_adapt:] - generated[num_adapt]),
        'above_random_db': np.min(generated - random),
    }


def _curve(
    measured: Measured, steps: tuple[int, ...], recorded: tuple[int, ...], origins: Sequence[str]
) -> dict[str, Any]:
    columns = [recorded.index(step) for step in steps]
    psnr = measured.psnr_db[:, steps]
    return {
        'steps': steps,
        'psnr_db': psnr.mean(axis=0),
        'psnr_db_interval': interval(psnr, origins),
        **{name: each[:, columns].mean(axis=0) for name, each in measured.figures.items()},
        'seconds': measured.seconds[columns],
        'psnr_db_per_datapoint': psnr,
    }


def _examples(
    model: Model,
    datapoints: Datapoint,
    names: list[str],
    measured: Mapping[str, Measured],
    recorded: tuple[int, ...],
    step: int,
) -> tuple[Example, ...]:
    """Return what is drawn: the original, generated after 0 and ``step`` steps, and a random start after ``step``."""
    shown = {
        'generated, 0 steps': ('generated', 0),
        f'generated, {step} steps': ('generated', step),
        f'random start, {step} steps': ('random', step),
    }
    shape = model.spec.grid_shape
    values = {name: each.values for name, each in measured.items() if each.values is not None}
    if shape is None or not values:
        return ()
    return tuple(
        Example(
            name=name,
            spec=model.spec,
            original=np.asarray(datapoints.values[row]).reshape(*shape, -1),
            weight=np.asarray(datapoints.weight[row]).reshape(shape),
            reconstructions={caption: values[start][row, recorded.index(at)] for caption, (start, at) in shown.items()},
            psnr_db={caption: float(measured[start].psnr_db[row, at]) for caption, (start, at) in shown.items()},
        )
        for row, name in enumerate(names)
    )
