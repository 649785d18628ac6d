"""Predict, then fine-tune: compare all starts under one protocol.

``python -m experiments.predict_then_finetune --scale small [--only NAME ...] [--datasets NAME ...] [--seeds N]``.
``hyperinr train`` trains all learned starts for the same seconds, in ``OUT/runs``. With ``--budget parameters`` all
hypernetworks also have about the same number of parameters. Every start is fine-tuned by its best rule, found on the
validation split with the first seed. It is measured on the test split: PSNR after 0 ... 500 steps, counted and timed
from the datapoint, including encoding and the learner's steps. Fits to half of the points are measured on the other
half. The plan and its estimated minutes are printed first. `experiments.predict_then_finetune_report` draws the rows.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import finetuning_curves as curves
from experiments import starts as table
from experiments.predict_then_finetune_report import draw
from experiments.study import Rows, format_table, machine, rounded_db, write_study
from experiments.timed_training import train_for, updates_within
from hyperinr.datasets.base import Dataset, select
from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.runtime.compilation_cache import use_compilation_cache
from hyperinr.runtime.environment import set_environment
from hyperinr.training.watching.throughput import matrix_product_gflops

__all__ = ['BUDGETS', 'SCALES', 'Cell', 'Scale', 'estimate', 'main', 'plan', 'run']

NAME = 'predict_then_finetune'
BUDGETS = ('seconds', 'parameters')


class Scale(NamedTuple):
    """The size of a study.

    Attributes:
      blocks: default rows as ``(dataset, tier of starts, seeds)``, in the order of computation.
      width: width of the SIREN of depth 3.
      seconds: seconds of training of every learned start.
      num_steps: steps of a fit, including the learner's.
      search_steps: steps of a fit that tries a rule.
      num_test: number of datapoints on which starts are measured.
      num_search: number of datapoints on which rules are chosen; at least 24 for figures that are reported.
      small_data: whether to use the small versions of the datasets.
    """

    blocks: tuple[tuple[str, table.Tier, int], ...]
    width: int
    seconds: float
    num_steps: int
    search_steps: int
    num_test: int
    num_search: int
    small_data: bool = False


SCALES = {
    'tiny': Scale(
        (('photo_patches_32', 3, 1), ('mnist_5k', 1, 1), ('photo_patches_64', 1, 1), ('solids', 1, 1)),
        8, 0.5, 24, 20, 2, 2, small_data=True,
    ),
    'small': Scale(
        (('photo_patches_32', 2, 1), ('photo_patches_32', 1, 3), ('photo_patches_64', 1, 1), ('mnist_5k', 1, 1),
         ('solids', 1, 1)),
        64, 40.0, 500, 200, 12, 24,
    ),
    'full': Scale(tuple((data, 3, 3) for data in table.DATA), 64, 600.0, 500, 500, 64, 16),
}  # fmt: skip
"""``small``: on 32 x 32 photographs all starts with one seed and the leading ones with three, on all other data the
leading ones; three hours on two cores. ``full``: all starts on all data, for a GPU. ``tiny``: a test run of every
start."""


class Cell(NamedTuple):
    """One row to compute."""

    data: str
    start: str
    budget: str
    seconds: float
    seed: int

    @property
    def group(self) -> str:
        """Return the key that all seeds of a row share."""
        return f'{self.data} {self.start} {self.budget} {self.seconds:g}'

    @property
    def key(self) -> str:
        return f'row {self.group} {self.seed}'


def plan(
    scale: Scale,
    *,
    only: Sequence[str] = (),
    datasets: Sequence[str] = (),
    seeds: int | None = None,
    budgets: Sequence[str] = ('seconds',),
    seconds: float | None = None,
) -> list[Cell]:
    """Return the rows of a call. For each dataset the first seed of all starts comes before the second of any.

    Args:
      scale: one of `SCALES`, or another scale.
      only: names of starts, used on every dataset of the scale and for any tier; empty: those of the scale.
      datasets: names of datasets; empty: those of the scale.
      seeds: number of seeds of every start; ``None``: that of the scale.
      budgets: names in `BUDGETS`.
      seconds: seconds of training; ``None``: those of the scale.

    Raises:
      InputError: a name is unknown, or a number is not positive.
    """
    names = [*table.RANDOM, *table.LEARNED]
    for given, known, what in ((only, names, 'start'), (datasets, table.DATA, 'dataset'), (budgets, BUDGETS, 'budget')):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InputError(f'no {what} {", ".join(unknown)}; there are {", ".join(known)}.')
    if (seeds is not None and seeds < 1) or (seconds is not None and seconds <= 0):
        raise InputError(f'seeds and seconds must be positive, not {seeds} and {seconds}.')
    found: dict[Cell, None] = {}
    for data, tier, count in scale.blocks:
        if datasets and data not in datasets:
            continue
        chosen = [name for name in table.starts_for(data, 3 if only else tier) if not only or name in only]
        for seed in range(seeds or count):
            for budget in budgets:
                for start in chosen:
                    # A start without a size to choose is the same under both budgets.
                    learned = table.LEARNED.get(start)
                    under = budget if learned is not None and learned.size is not None else 'seconds'
                    time = 0.0 if learned is None else seconds or scale.seconds
                    found[Cell(data, start, under, time, seed)] = None
    return list(found)


def estimate(scale: Scale, cells: Iterable[Cell], gflops: float) -> dict[str, float]:
    """Estimate the minutes for each dataset, from the FLOPs of the fits and compile times measured on two cores."""
    minutes: dict[str, float] = {}
    searched: set[str] = set()
    for cell in cells:
        options = table.data_of(cell.data, small=scale.small_data).options
        points = options.get('num_points') or int(np.prod(options['resolution']))
        # A step of a SIREN of depth 3 has 3 products of its two wide matrices for each point, at half of the peak.
        step = 3 * 2 * points * (2 * scale.width**2) / (0.5e9 * gflops)
        fits = 3 * scale.num_test * scale.num_steps * step
        compiling = COMPILE_SECONDS if cell.start in table.LEARNED else COMPILE_SECONDS / 2
        if cell.group not in searched:
            searched.add(cell.group)
            fits += NUM_TRIALS * scale.num_search * scale.search_steps * step
            compiling *= 2
        minutes[cell.data] = minutes.get(cell.data, 0.0) + (cell.seconds + fits + compiling) / 60
    return minutes


COMPILE_SECONDS, NUM_TRIALS = 20.0, 28
"""Seconds to load a start's compiled functions from the disk, and number of rules that a search tries."""


def run(scale: Scale, out: Path, cells: Sequence[Cell], *, parameters: int = 1_500_000) -> Path:
    """Compute the missing rows and write ``out/predict_then_finetune.json``.

    Args:
      scale: one of `SCALES`, or another scale.
      out: folder for rows, runs and compiled functions.
      cells: rows of `plan`.
      parameters: number of parameters of hypernetworks under the budget ``'parameters'``.

    Raises:
      InputError: ``out`` has rows of another protocol, or a hypernetwork cannot be that small.
    """
    protocol = {**scale._asdict(), 'parameters': parameters}
    del protocol['blocks'], protocol['seconds']
    rows = Rows(out / f'{NAME}.rows.jsonl', protocol)
    use_compilation_cache(out)
    for data, mine in _by_data(cells):
        missing = [cell for cell in mine if cell.key not in rows]
        if missing:
            bench = _Bench(scale, out, rows, data, parameters)
            for cell in missing:
                rows.add(cell.key, bench.row(cell))
                jax.clear_caches()
    path = out / f'{NAME}.json'
    finished = [row for row in rows if row['key'].startswith('row ')]
    write_study(path, {'machine': machine(), 'protocol': protocol}, finished)
    return path


def _by_data(cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    for data in dict.fromkeys(cell.data for cell in cells):
        yield data, [cell for cell in cells if cell.data == data]


class _Bench:
    """One dataset: its datapoints for search and test, and the rows of its starts."""

    def __init__(self, scale: Scale, out: Path, rows: Rows, name: str, parameters: int):
        self._scale, self._out, self._rows, self._parameters = scale, out, rows, parameters
        self._data = table.data_of(name, small=scale.small_data)
        self._dataset: Dataset = self._data.open()
        self._spec = self._dataset.spec
        self._searched, self._tested = (
            select(self._dataset, split, number)[0]
            for split, number in (('validation', scale.num_search), ('test', scale.num_test))
        )
        shown = np.unique(np.geomspace(1, scale.num_steps, 40).astype(int))
        named = [step for step in (0, 1, 2, 3, 10, 30, 100, 300) if step <= scale.num_steps]
        self._steps = sorted({*shown.tolist(), *named, scale.num_steps})
        self._pixel_steps = [step for step in (*named, scale.num_steps) if step != 2]

    def row(self, cell: Cell) -> dict[str, Any]:
        """Train, search and measure one row; a diverged training gives a row that states it."""
        spec, scale = self._spec, self._scale
        about = {
            'dataset': cell.data, 'resolution': list(spec.grid_shape or (spec.num_points,)), 'start': cell.start,
            'budget': cell.budget, 'asked_seconds': cell.seconds, 'seed': cell.seed,
        }  # fmt: skip
        try:
            beginning, trained = self._begin(cell)
        except InterruptedRunError:
            raise
        except RunError as error:
            return {**about, 'failed': str(error)}
        rule = self._rule(cell, beginning)
        curve = curves.measure(
            beginning, rule, self._tested, spec, num_steps=scale.num_steps, record_steps=self._pixel_steps
        )
        return {
            **about,
            **trained,
            'weights': table.num_weights(beginning.inr, spec),
            'adaptation_steps': beginning.num_steps,
            'rule': rule._asdict(),
            'steps': self._steps,
            'psnr_db': rounded_db(curve.psnr_db[:, self._steps].mean(axis=0)),
            'seconds': [float(f'{value:.4g}') for value in curve.seconds[self._steps]],
            'psnr_db_per_datapoint': [rounded_db(each) for each in curve.psnr_db[:, self._steps]],
            'unseen': {
                'steps': self._pixel_steps,
                'psnr_db_per_datapoint': [rounded_db(each) for each in curve.unseen_psnr_db],
            },
        }

    def _begin(self, cell: Cell) -> tuple[curves.Beginning, dict[str, Any]]:
        if cell.start in table.RANDOM:
            inr = table.random_inr(cell.start, self._spec, width=self._scale.width)
            nothing: Mapping[str, Any] = {'kind': 'random', 'parameters': 0, 'training_seconds': 0.0, 'updates': 0}
            return curves.random(inr, self._spec, seed=cell.seed), {**nothing, 'validation': []}
        start = table.LEARNED[cell.start]
        name = f'experiment/{start.config}.gin'
        bindings = table.bindings_of(start, self._data, width=self._scale.width)
        if cell.budget == 'parameters':
            found = self._once(f'size {cell.data} {cell.start}', lambda: self._sized(start, bindings))
            bindings += found['bindings']
        planned = self._once(f'updates {cell.group}', lambda: {'updates': updates_within(name, bindings, cell.seconds)})
        run_dir = self._out / 'runs' / cell.group.replace(' ', '_') / str(cell.seed)
        trained = train_for(name, bindings, run_dir, seconds=cell.seconds, updates=planned['updates'], seed=cell.seed)
        return curves.generated(trained.model), {
            'kind': start.kind,
            'parameters': sum(leaf.size for leaf in jax.tree.leaves(trained.model.params)),
            'training_seconds': trained.seconds,
            'updates': trained.updates,
            'validation': trained.validation,
        }

    def _sized(self, start: table.Learned, bindings: list[str]) -> dict[str, Any]:
        return {'bindings': table.sized(start, bindings, self._data, self._dataset, self._parameters)}

    def _rule(self, cell: Cell, beginning: curves.Beginning) -> curves.Rule:
        search = lambda: curves.best_rule(beginning, self._searched, self._spec, num_steps=self._scale.search_steps)
        row = self._once(f'rule {cell.group}', lambda: search()._asdict())
        return curves.Rule(**{name: row[name] for name in curves.Rule._fields})

    def _once(self, key: str, compute: Any) -> dict[str, Any]:
        """Return what all seeds of a start share: from the rows, or computed and added to them."""
        if key not in self._rows:
            self._rows.add(key, compute())
        return self._rows.rows[key]


def _describe(scale: Scale, cells: Sequence[Cell], out: Path) -> str:
    minutes = estimate(scale, cells, matrix_product_gflops(jax.local_devices()))
    lines = []
    for data, mine in _by_data(cells):
        trained = [cell for cell in mine if cell.seconds]
        training = sum(cell.seconds for cell in trained) / 60
        starts = len({(cell.start, cell.budget) for cell in mine})
        lines.append([data, str(starts), str(len(mine)), f'{training:.0f}', f'{minutes[data]:.0f}'])
    header = ['dataset', 'starts', 'rows', 'minutes of training', 'minutes in all, estimated']
    text = f'{format_table(header, lines)}\n\nabout {sum(minutes.values()):.0f} minutes'
    return f'{text}, less what {out} holds already'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog=f'python -m experiments.{NAME}', description=__doc__)
    parser.add_argument('--scale', choices=SCALES, default='small')
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='these starts alone')
    parser.add_argument('--datasets', nargs='+', default=[], metavar='NAME', help='these datasets alone')
    parser.add_argument('--seeds', type=int, metavar='N', help='of every start')
    parser.add_argument('--seconds', type=float, metavar='S', help="training of every learned start, not the scale's")
    parser.add_argument('--budget', choices=(*BUDGETS, 'both'), default='seconds', help='what starts have in common')
    parser.add_argument('--parameters', type=int, default=1_500_000, metavar='N', help='of --budget parameters')
    parser.add_argument('--out', type=Path, default=Path('runs') / NAME, help='rows, runs, tables and picture')
    parser.add_argument('--plan', action='store_true', help='print the plan and end')
    options = parser.parse_args(arguments)
    scale, budgets = SCALES[options.scale], BUDGETS if options.budget == 'both' else (options.budget,)
    try:
        cells = plan(
            scale, only=options.only, datasets=options.datasets, seeds=options.seeds, budgets=budgets,
            seconds=options.seconds,
        )  # fmt: skip
        print(_describe(scale, cells, options.out), flush=True)
        if not options.plan:
            for path in draw(run(scale, options.out, cells, parameters=options.parameters)):
                print(path)
    except (InputError, InterruptedRunError) as error:
        parser.exit(error.exit_status, f'{parser.prog}: error: {error}\n')


if __name__ == '__main__':
    main()
