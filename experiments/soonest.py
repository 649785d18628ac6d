"""Compare the seconds that a learned start and random starts need to reach a PSNR, timed in turns.

``python -m experiments.soonest --run DIR [--target DB ...] [--random NAME ...] [--datapoints N] [--out DIR]``. The
learned way is encoding, then as many of the learner's steps as the mean PSNR of the test datapoints needs to reach the
target. The other ways are fits from every random start by every optimiser. Each uses the rate that reaches the target
in the fewest steps on validation datapoints, and takes as many steps as the test datapoints need. Each way is timed
alone, from datapoints to weights on the host, one after the other in every round. Medians are compared.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import hyperinr
from experiments import finetuning_curves as curves
from experiments import starts as table
from experiments.study import format_table, machine, steps_to, write_study
from hyperinr import config, fitting, library, metrics
from hyperinr.datasets.base import select
from hyperinr.errors import InputError
from hyperinr.runtime.environment import set_environment
from hyperinr.runtime.files import check_writable_folder
from hyperinr.types import Array, Datapoint, DatasetSpec

__all__ = ['Way', 'compare', 'main', 'rivals', 'the_learned_way', 'tried']

NAME = 'soonest'
MAX_STEPS = 100
"""Most steps of a way from a random start; most ways need a tenth of it."""


class Way(NamedTuple):
    """A way from datapoints to weights that reach the target.

    Attributes:
      start: name of the start.
      optimizer: optimiser and rate; ``'own steps'`` for the steps of a learned start.
      steps: number of steps to the target.
      run: runs these steps.
    """

    start: str
    optimizer: str
    steps: int
    run: Callable[[], Any]


def the_learned_way(
    name: str, beginning: curves.Beginning, datapoints: Datapoint, spec: DatasetSpec, *, target: float
) -> Way:
    """Find the fewest learner's steps to ``target`` dB, in the mean over ``datapoints``.

    Raises:
      InputError: the learner's steps do not reach the target.
    """
    path = beginning.weights(datapoints, beginning.num_steps)
    psnr = _mean_psnr(curves.path_errors(beginning.inr, path, datapoints), spec)
    steps = _first(psnr, target)
    if steps is None:
        raise InputError(f"{name} is at {psnr.max():.1f} dB at most after the learner's steps; give a lower --target.")
    return Way(name, 'own steps', steps, lambda: beginning.generate(datapoints, steps))


def tried(
    beginning: curves.Beginning, datapoints: Datapoint, spec: DatasetSpec
) -> dict[str, tuple[fitting.Trial, ...]]:
    """Try the rates of every optimiser for `MAX_STEPS`."""
    start = curves.last(beginning.weights(datapoints, 0))
    search = lambda name, family: fitting.best_rate(
        beginning.inr, start, datapoints, num_steps=MAX_STEPS, data_range=spec.data_range,
        score_steps=range(1, MAX_STEPS + 1), families={name: family},
    )  # fmt: skip
    return {name: search(name, family).trials for name, family in beginning.families.items()}


def rivals(
    name: str,
    beginning: curves.Beginning,
    trials: Mapping[str, Sequence[fitting.Trial]],
    datapoints: Datapoint,
    spec: DatasetSpec,
    *,
    target: float,
) -> list[Way]:
    """Return the way of every optimiser that reaches ``target`` dB within `MAX_STEPS`, at its fastest tried rate."""
    found = []
    for family, members in beginning.families.items():
        rate = min(trials[family], key=lambda trial: _first(trial.psnr_db, target) or MAX_STEPS + 1).rate

        def fit(num_steps: int, optimizer: Any = fitting.AtRate(members.make, rate)) -> fitting.FitResult:  # noqa: B008
            start = beginning.generate(datapoints, 0)
            return fitting.fit(beginning.inr, start, datapoints, optimizer=optimizer, num_steps=num_steps)

        steps = _first(_mean_psnr(fit(MAX_STEPS).mse, spec), target)
        if steps is not None:
            found.append(Way(name, f'{family} {rate:.2g}', steps, lambda fit=fit, steps=steps: fit(steps)))
    return found


def compare(ways: Sequence[Way], *, count: int, rounds: int) -> list[dict[str, Any]]:
    """Time the ways: one row each, with milliseconds for one of ``count`` datapoints and the ratio to the first way."""
    for way in ways:
        way.run()
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, mine in zip(ways, seconds, strict=True):
            began = time.perf_counter()
            way.run()
            mine.append(time.perf_counter() - began)
    medians = [statistics.median(mine) for mine in seconds]
    return [
        {
            'start': way.start, 'by': way.optimizer, 'steps': way.steps, 'ms': round(1e3 * median / count, 3),
            'ms_least': round(1e3 * min(mine) / count, 3), 'ms_most': round(1e3 * max(mine) / count, 3),
            'times': round(median / medians[0], 2),
        }
        for way, mine, median in zip(ways, seconds, medians, strict=True)
    ]  # fmt: skip


def _mean_psnr(mse: Array, spec: DatasetSpec) -> np.ndarray:
    return np.asarray(metrics.psnr_from_mse(mse, spec.data_range), np.float64).mean(axis=0)


def _first(psnr_db: np.ndarray, target: float) -> int | None:
    """Return the first step at which the PSNR reaches ``target`` dB."""
    return steps_to(-psnr_db, -target)


def _render(title: str, rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        [f'`{row["start"]}`', row['by'], str(row['steps']), f'{row["ms"]:.2f}',
         f'{row["ms_least"]:.2f} to {row["ms_most"]:.2f}', f'{row["times"]:.1f}']
        for row in rows
    ]  # fmt: skip
    return f'### {title}\n\n{format_table(["start", "by", "steps", "ms", "least to most", "times"], lines)}\n'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog=f'python -m experiments.{NAME}', description=__doc__)
    parser.add_argument('--run', type=Path, required=True, metavar='DIR', help='trained')
    parser.add_argument('--target', type=float, nargs='+', default=[35.0], metavar='DB', help='PSNR (35)')
    parser.add_argument('--random', nargs='+', default=list(table.RANDOM), choices=table.RANDOM, help='rivals (all)')
    parser.add_argument('--datapoints', type=int, default=64, metavar='N', help='of the test split, at once (64)')
    parser.add_argument('--rounds', type=int, default=7, metavar='N', help='that the medians are of (7)')
    parser.add_argument('--out', type=Path, default=Path('runs') / NAME, help='table and JSON')
    options = parser.parse_args(arguments)
    try:
        if options.datapoints < 1 or options.rounds < 1:
            raise InputError(f'datapoints and rounds are {options.datapoints} and {options.rounds}; give at least 1.')
        out = check_writable_folder(options.out)
        model = hyperinr.load(options.run)
        with config.applied(library.run_config(options.run)):
            dataset = library.compose().dataset()
        searched, tested = (
            select(dataset, split, count)[0] for split, count in (('validation', 24), ('test', options.datapoints))
        )
        name, width = '/'.join(options.run.parts[-2:]), int(model.inr.metadata['width'])
        learned = curves.generated(model)
        own = {target: the_learned_way(name, learned, tested, model.spec, target=target) for target in options.target}
        starts = {
            random: curves.random(table.random_inr(random, model.spec, width=width), model.spec, seed=0)
            for random in options.random
        }
        trials = {random: tried(beginning, searched, model.spec) for random, beginning in starts.items()}
        rows, tables = [], []
        for target, way in own.items():
            ways = [way]
            for random, beginning in starts.items():
                ways += rivals(random, beginning, trials[random], tested, model.spec, target=target)
            mine = compare(ways, count=len(tested.index), rounds=options.rounds)
            rows += [{'target_db': target, **row} for row in mine]
            title = f'To {target:g} dB, {len(tested.index)} datapoints at once; ms of one'
            tables.append(_render(title, [mine[0], *sorted(mine[1:], key=lambda row: row['ms'])]))
            print(tables[-1], flush=True)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    (out / f'{NAME}.md').write_text('\n'.join(tables), encoding='utf-8')
    write_study(out / f'{NAME}.json', {'machine': machine(), 'datapoints': options.datapoints}, rows)


if __name__ == '__main__':
    main()
