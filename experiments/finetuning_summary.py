"""What the rows of `experiments.predict_then_finetune` say: means with intervals, and verdicts on what was hoped."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments.starts import DATA, LEARNED, RANDOM

__all__ = ['Claim', 'Group', 'Row', 'Summary', 'claims', 'format_number', 'groups', 'leading_tables', 'summarise']

RESAMPLES = 1000

Row = Mapping[str, Any]


class Group(NamedTuple):
    """What one table compares."""

    dataset: str
    budget: str
    seconds: float

    @property
    def title(self) -> str:
        common = 'sizes of the configs' if self.budget == 'seconds' else 'a common number of parameters'
        return f'{self.dataset}, {self.seconds:g} s of training, {common}'


class Summary(NamedTuple):
    """A start over all its seeds and datapoints.

    Attributes:
      rows: of its seeds.
      steps: recorded.
      psnr_db: mean at each.
      low, high: of its 95 % interval.
      seconds: of one datapoint at each.
    """

    rows: list[Row]
    steps: np.ndarray
    psnr_db: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seconds: np.ndarray

    @property
    def own_steps(self) -> int:
        """K."""
        return int(self.rows[0]['adaptation_steps'])

    def flattens(self, within_db: float = 0.5) -> float | None:
        """Seconds of training after which the validation of the first seed stays within ``within_db`` of its best."""
        validated = np.array(self.rows[0]['validation'])
        if len(validated) < 2:
            return None
        below = np.flatnonzero(validated[:, 1] < validated[:, 1].max() - within_db)
        return float(validated[min(below[-1] + 1, len(validated) - 1) if below.size else 0, 0])

    def at(self, step: int) -> float:
        """Mean PSNR at a recorded step; NaN at any other."""
        found = np.flatnonzero(self.steps == step)
        return float(self.psnr_db[found[0]]) if found.size else float('nan')

    def reach(self, psnr_db: float) -> tuple[float, float] | None:
        """Steps and seconds after which the mean is at ``psnr_db`` first, linear between those recorded."""
        above = np.flatnonzero(self.psnr_db >= psnr_db)
        if not above.size:
            return None
        last = int(above[0])
        if last == 0:
            return 0.0, float(self.seconds[0])
        span = self.psnr_db[last - 1 : last + 1]
        between = lambda values: float(np.interp(psnr_db, span, values[last - 1 : last + 1]))
        return float(np.ceil(between(self.steps) - 1e-9)), between(self.seconds)


def groups(rows: Sequence[Row]) -> dict[Group, dict[str, list[Row]]]:
    """The tables, longest training first: random starts are in all, starts without a size to choose in both budgets."""
    trained = [row for row in rows if row['asked_seconds']] or rows
    wanted = {(row['dataset'], row['budget'], row['asked_seconds']) for row in trained}
    order = list(DATA)
    found: dict[Group, dict[str, list[Row]]] = {}
    for dataset, budget, seconds in sorted(
        wanted, key=lambda each: (order.index(each[0]), each[1] != 'seconds', -each[2])
    ):
        members = found.setdefault(Group(dataset, budget, seconds), {})
        for row in rows:
            learned = LEARNED.get(row['start'])
            fixed = learned is None or learned.size is None
            here = row['dataset'] == dataset and row['asked_seconds'] in (0.0, seconds)
            if here and (row['budget'] == budget or fixed):
                members.setdefault(row['start'], []).append(row)
    return found


def _interval(psnr_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap over seeds and datapoints, of ``[seeds, B, ...]``: a mean over few of either is less certain."""
    rng, (seeds, count) = np.random.default_rng(0), psnr_db.shape[:2]
    chosen = rng.integers(0, seeds, (RESAMPLES, seeds)), rng.integers(0, count, (RESAMPLES, count))
    means = [psnr_db[np.ix_(some, points)].mean(axis=(0, 1)) for some, points in zip(*chosen, strict=True)]
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return low, high


def summarise(rows: Sequence[Row]) -> Summary | None:
    """The seeds of one start together; ``None`` where all failed."""
    sound = [row for row in rows if 'failed' not in row]
    if not sound:
        return None
    to_number = lambda value: np.nan if value is None else value
    psnr = np.array([[list(map(to_number, each)) for each in row['psnr_db_per_datapoint']] for row in sound])
    seconds = np.median([row['seconds'] for row in sound], axis=0)
    return Summary(sound, np.array(sound[0]['steps']), psnr.mean(axis=(0, 1)), *_interval(psnr), seconds)


class Claim(NamedTuple):
    """What was hoped, whether it came, and the numbers behind it."""

    text: str
    verdict: Literal['reached', 'not reached', 'not measured']
    numbers: str


def claims(found: Mapping[str, Summary]) -> list[Claim]:
    """Verdicts on what the study was begun for."""
    kind = lambda name: found[name].rows[0]['kind']
    learned = [name for name in found if kind(name) != 'random']
    predicted = [name for name in learned if kind(name) == 'hypernetwork' and found[name].own_steps == 3]
    fitted = [name for name in found if kind(name) == 'random']
    sirens = [name for name in fitted if RANDOM[name][0] is not None]
    return [
        _ahead(found, predicted, ('maml', 'meta_sgd')),
        _predicted_rates(found),
        _within_three_steps(found, learned),
        _sooner(found, learned, sirens, 'the best random SIREN'),
        _sooner(found, learned, [name for name in fitted if name not in sirens], 'a feature grid'),
        _functa(found.get('functa')),
        _never_falls(found, learned),
    ]


def _verdict(holds: bool | None) -> Literal['reached', 'not reached', 'not measured']:
    return 'not measured' if holds is None else 'reached' if holds else 'not reached'


def _best(found: Mapping[str, Summary], names: Sequence[str]) -> str | None:
    """The one that is best after three steps."""
    return max((name for name in names if name in found), key=lambda name: found[name].at(3), default=None)


def _ahead(found: Mapping[str, Summary], predicted: Sequence[str], constant: Sequence[str]) -> Claim:
    one, other = _best(found, predicted), _best(found, constant)
    margin = found[one].at(3) - found[other].at(3) if one and other else None
    return Claim(
        'the best hypernetwork with 3 steps is 1.0 dB above MAML and Meta-SGD at 3 steps',
        _verdict(None if margin is None else margin >= 1.0),
        '' if margin is None else f'`{one}` against `{other}`: {margin:+.2f} dB',
    )


def _predicted_rates(found: Mapping[str, Summary]) -> Claim:
    pair = [found[name].at(3) for name in ('predicted_rates_k3', 'heads_k3') if name in found]
    margin = pair[0] - pair[1] if len(pair) == 2 else None
    return Claim(
        'predicted step sizes are better than learned constant ones at 3 steps',
        _verdict(None if margin is None else margin > 0),
        '' if margin is None else f'{margin:+.2f} dB',
    )


def _within_three_steps(found: Mapping[str, Summary], learned: Sequence[str]) -> Claim:
    leader = _best(found, learned)
    return Claim(
        '35 dB within 3 steps',
        _verdict(None if leader is None else found[leader].at(3) >= 35),
        '' if leader is None else f'`{leader}`: {found[leader].at(3):.1f} dB',
    )


def _sooner(found: Mapping[str, Summary], learned: Sequence[str], others: Sequence[str], named: str) -> Claim:
    """In seconds of a datapoint: what the best learned start has after 3 steps."""
    text = f'what the best learned start has after 3 steps takes {named} 8 times as long'
    leader = _best(found, learned)
    if leader is None or not others:
        return Claim(text, 'not measured', '')
    target = found[leader].at(3)
    mine = found[leader].reach(target)
    reached = {name: at for name in others if (at := found[name].reach(target)) is not None}
    begin = f'`{leader}` is at {target:.1f} dB after {format_number(mine and 1e3 * mine[1], ".2f")} ms'
    if mine is None or not reached:
        return Claim(text, _verdict(mine is not None), f'{begin}; none of the others gets there')
    fastest = min(reached, key=lambda name: reached[name][1])
    fewest = min(reached, key=lambda name: reached[name][0])
    ratio = reached[fastest][1] / mine[1]
    return Claim(
        text,
        _verdict(ratio >= 8),
        f'{begin}, `{fastest}` after {1e3 * reached[fastest][1]:.2f} ms, ratio {ratio:.1f}; '
        f'`{fewest}` after {reached[fewest][0]:.0f} steps',
    )


def _functa(functa: Summary | None) -> Claim:
    steps = [functa.at(step) for step in (0, 1, 2, 3)] if functa else []
    return Claim(
        'functa is at 26 dB after 3 steps and rises with every step',
        _verdict(bool(steps[3] >= 26 and np.all(np.diff(steps) > 0)) if steps else None),
        ', '.join(f'{value:.1f}' for value in steps) + ' dB after 0, 1, 2, 3 steps' if steps else '',
    )


def _never_falls(found: Mapping[str, Summary], learned: Sequence[str]) -> Claim:
    falls = {name: _least_margin(found[name]) for name in learned}
    worst = min(falls, key=lambda name: falls[name], default=None)
    return Claim(
        'fine-tuning never falls below what it starts from',
        _verdict(None if worst is None else falls[worst] >= 0),
        '' if worst is None else f'least margin {falls[worst]:+.2f} dB, of `{worst}`',
    )


def _least_margin(summary: Summary) -> float:
    later = summary.psnr_db[summary.steps >= summary.own_steps]
    return float(np.min(later - later[0]))


def format_number(value: float | None, spec: str) -> str:
    """Formatted; ``-`` where there is none."""
    return '-' if value is None or not np.isfinite(value) else format(value, spec)


def leading_tables(rows: Sequence[Row]) -> dict[Group, dict[str, Summary]]:
    """The tables at the configs' own sizes of the dataset that has most of them, the longest training first."""
    own = {group: members for group, members in groups(rows).items() if group.budget == 'seconds'}
    datasets = [group.dataset for group in own]
    leading = max(datasets, key=lambda name: (datasets.count(name), name == 'photo_patches_32'), default=None)
    tables = {}
    for group in (each for each in own if each.dataset == leading):
        found = {name: summarise(members) for name, members in own[group].items()}
        tables[group] = {name: each for name, each in found.items() if each is not None}
    return tables
