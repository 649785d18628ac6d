"""Compare all rules of fine-tuning from one start, step by step. The default rule was chosen by it.

``python -m experiments.finetuning_rules --run DIR ... [--out DIR]``. Every rule starts from the weights of each run
after its K adaptation steps (and from fresh weights, ``--random NAME``). It takes the same number of steps on the same
validation datapoints. The table has the mean PSNR, the largest fall of any datapoint below its start at any step, and
the cost of a step as a multiple of a step of Adam in the same process.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax

import hyperinr
from experiments import finetuning_curves as curves
from experiments import starts as table
from experiments.study import format_table, machine, rounded, write_study
from hyperinr import config, fitting, library, metrics
from hyperinr.datasets.base import Dataset, select
from hyperinr.errors import InputError
from hyperinr.evaluation.starts import ANY_INR
from hyperinr.fitting import optimizers
from hyperinr.runtime.environment import set_environment
from hyperinr.runtime.files import check_writable_folder
from hyperinr.types import Datapoint

__all__ = ['RULES', 'Tried', 'main', 'measure']

NAME = 'finetuning_rules'
STEPS = (0, 1, 3, 10, 30, 100, 200, 500)
"""Steps in the table."""


class Tried(NamedTuple):
    """A rule to compare.

    Attributes:
      optimizer: optimiser of all weights.
      in_metric: whether the learned rates, if there are any, scale its steps.
    """

    optimizer: optax.GradientTransformation
    in_metric: bool = True


def _rule(factory: Callable[..., optimizers.FlatOptimizer], **options: Any) -> optax.GradientTransformation:
    return factory(**options)(ANY_INR)


RULES: Mapping[str, Tried] = {
    'Adam 1e-3': Tried(_rule(optimizers.adam, learning_rate=1e-3)),
    'conjugate gradient': Tried(_rule(optimizers.conjugate_gradient)),
    '- rates not used': Tried(_rule(optimizers.conjugate_gradient), in_metric=False),
    '- all points': Tried(_rule(optimizers.conjugate_gradient, parts=1)),
    '- a fifth of the points': Tried(_rule(optimizers.conjugate_gradient, parts=5)),
    '- lengths x 0.7': Tried(_rule(optimizers.conjugate_gradient, learning_rate=0.7)),
    '- lengths x 1.4': Tried(_rule(optimizers.conjugate_gradient, learning_rate=1.4)),
    'AMSGrad 1e-3, warm-up 20': Tried(curves.warm_amsgrad(1e-3)),
    'AMSGrad 4e-3, warm-up 20': Tried(curves.warm_amsgrad(4e-3)),
    'L-BFGS': Tried(_rule(optimizers.lbfgs, learning_rate=1.0), in_metric=False),
    'L-BFGS 0.3': Tried(_rule(optimizers.lbfgs, learning_rate=0.3), in_metric=False),
    'diagonal curvature 0.3': Tried(_rule(optimizers.diagonal_curvature)),
}
"""Name -> rule. The first is the reference of the cost."""


def measure(
    beginning: curves.Beginning, datapoints: Datapoint, *, data_range: tuple[float, float], num_steps: int
) -> list[dict[str, Any]]:
    """Measure one row for each rule.

    Args:
      beginning: the start.
      datapoints: datapoints with leaves ``[B, ...]``.
      data_range: ``(low, high)`` of the values.
      num_steps: steps after the learner's.
    """
    start = curves.last(beginning.weights(datapoints, beginning.num_steps))
    metric = beginning.metric(datapoints)
    steps = [step for step in STEPS if step <= num_steps]
    rows: list[dict[str, Any]] = []
    for name, rule in RULES.items():
        fit = lambda rule=rule: fitting.fit(
            beginning.inr, start, datapoints, optimizer=rule.optimizer, num_steps=num_steps,
            step_scale=metric if rule.in_metric else None,
        )  # fmt: skip
        psnr = np.asarray(metrics.psnr_from_mse(fit().mse, data_range), np.float64)
        psnr = np.where(np.isfinite(psnr), psnr, -np.inf)
        began = time.perf_counter()
        fit()
        seconds = (time.perf_counter() - began) / num_steps / len(psnr)
        rows.append({
            'rule': name,
            'steps': steps,
            'psnr_db': rounded(psnr[:, steps].mean(axis=0)),
            'least_margin_db': rounded([(psnr - psnr[:, :1]).min()])[0],
            'cost': round(seconds / rows[0]['seconds'], 2) if rows else 1.0,
            'seconds': seconds,
        })  # fmt: skip
    return rows


def _render(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    show = lambda value: 'diverged' if value is None else f'{value:.1f}'
    lines = [
        [row['rule'], *map(show, row['psnr_db']), show(row['least_margin_db']), f'{row["cost"]:.1f}'] for row in rows
    ]
    header = ['rule', *map(str, rows[0]['steps']), 'worst fall', 'cost of a step']
    return f'### {title}\n\n{format_table(header, lines)}\n'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog=f'python -m experiments.{NAME}', description=__doc__)
    parser.add_argument('--run', type=Path, nargs='+', default=[], metavar='DIR', help='trained runs')
    parser.add_argument('--random', nargs='+', default=[], choices=table.RANDOM, help='fresh weights of 3 x 64')
    parser.add_argument('--datapoints', type=int, default=24, metavar='N', help='of the validation split (24)')
    parser.add_argument('--steps', type=int, default=200, metavar='N', help="after the learner's steps (200)")
    parser.add_argument('--out', type=Path, default=Path('runs') / NAME, help='tables and JSON')
    options = parser.parse_args(arguments)
    try:
        if not options.run and not options.random:
            raise InputError('there is no start; give --run DIR or --random NAME.')
        if options.steps < 1 or options.datapoints < 1:
            raise InputError(f'steps and datapoints are {options.steps} and {options.datapoints}; give at least 1.')
        out = check_writable_folder(options.out)
        found: dict[str, list[dict[str, Any]]] = {}
        for directory in options.run:
            model = hyperinr.load(directory)
            with config.applied(library.run_config(directory)):
                dataset = library.compose().dataset()
            name = '/'.join(directory.parts[-2:])
            found[name] = _compared(name, curves.generated(model), dataset, options)
        for name in options.random:
            dataset = table.data_of('photo_patches_32').open()
            inr = table.random_inr(name, dataset.spec, width=64)
            found[name] = _compared(name, curves.random(inr, dataset.spec, seed=0), dataset, options)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    text = '\n'.join(_render(name, rows) for name, rows in found.items())
    (out / f'{NAME}.md').write_text(text, encoding='utf-8')
    about = {'machine': machine(), 'datapoints': options.datapoints, 'steps': options.steps}
    rows = [{'start': name, **row} for name, mine in found.items() for row in mine]
    write_study(out / f'{NAME}.json', about, rows)


def _compared(
    name: str, beginning: curves.Beginning, dataset: Dataset, options: argparse.Namespace
) -> list[dict[str, Any]]:
    datapoints = select(dataset, 'validation', options.datapoints)[0]
    rows = measure(beginning, datapoints, data_range=dataset.spec.data_range, num_steps=options.steps)
    print(_render(name, rows), flush=True)
    return rows


if __name__ == '__main__':
    main()
