"""Summarise the rows of `experiments.predict_then_finetune`: means with intervals, and verdicts on expectations."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments.starts import DATA, LEARNED, RANDOM

__all__ = [
    'Claim',
    'Group',
    'Row',
    'Summary',
    'claims',
    'format_number',
    'groups',
    'leading_tables',
    'own_tables',
    'summarise',
]

RESAMPLES = 1000
MARK_DB = 35.0
"""PSNR in dB that a start should reach within three steps."""

Row = Mapping[str, Any]


class Group(NamedTuple):
    """The key of one table."""

    dataset: str
    budget: str
    seconds: float

    @property
    def title(self) -> str:
        common = 'sizes of the configs' if self.budget == 'seconds' else 'a common number of parameters'
        return f'{self.dataset}, {self.seconds:g} s of training, {common}'


class Summary(NamedTuple):
    """The results of a start over all its seeds and datapoints.

    Attributes:
      rows: one row for each seed.
      steps: recorded steps.
      psnr_db: mean PSNR at each step.
      low, high: ends of its 95 % interval.
      seconds: seconds of one datapoint up to each step.
    """

    rows: list[Row]
    steps: np.ndarray
    psnr_db: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seconds: np.ndarray

    @property
    def own_steps(self) -> int:
        """K, the learner's steps."""
        return int(self.rows[0]['adaptation_steps'])

    def flattens(self, within_db: float = 0.5) -> float | None:
        """Return the training seconds after which the first seed's validation stays within ``within_db`` of its top."""
        validated = np.array(self.rows[0]['validation'])
        if len(validated) < 2:
            return None
        below = np.flatnonzero(validated[:, 1] < validated[:, 1].max() - within_db)
        return float(validated[min(below[-1] + 1, len(validated) - 1) if below.size else 0, 0])

    def at(self, step: int) -> float:
        """Return the mean PSNR at a recorded step; NaN at any other step."""
        found = np.flatnonzero(self.steps == step)
        return float(self.psnr_db[found[0]]) if found.size else float('nan')

    def seconds_at(self, step: int) -> float:
        """Return the seconds of one datapoint up to a recorded step."""
        return float(self.seconds[np.flatnonzero(self.steps == step)[0]])

    def reach(self, psnr_db: float) -> tuple[float, float] | None:
        """Return steps and seconds after which the mean first reaches ``psnr_db``, linear between recorded steps."""
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
    """Return the tables, longest training first. Random starts are in all of them.

    Starts without a size to choose are in the tables of both budgets.
    """
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
    """Return the 95 % interval of the mean of ``[seeds, B, ...]``, by a bootstrap over both seeds and datapoints."""
    rng, (seeds, count) = np.random.default_rng(0), psnr_db.shape[:2]
    chosen = rng.integers(0, seeds, (RESAMPLES, seeds)), rng.integers(0, count, (RESAMPLES, count))
    means = [psnr_db[np.ix_(some, points)].mean(axis=(0, 1)) for some, points in zip(*chosen, strict=True)]
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return low, high


def summarise(rows: Sequence[Row]) -> Summary | None:
    """Summarise the seeds of one start; ``None`` if all failed."""
    sound = [row for row in rows if 'failed' not in row]
    if not sound:
        return None
    to_number = lambda value: np.nan if value is None else value
    psnr = np.array([[list(map(to_number, each)) for each in row['psnr_db_per_datapoint']] for row in sound])
    seconds = np.median([row['seconds'] for row in sound], axis=0)
    return Summary(sound, np.array(sound[0]['steps']), psnr.mean(axis=(0, 1)), *_interval(psnr), seconds)


class Claim(NamedTuple):
    """An expectation of the study, its verdict, and the numbers behind it."""

    text: str
    verdict: Literal['reached', 'not reached', 'not measured']
    numbers: str


def claims(found: Mapping[str, Summary]) -> list[Claim]:
    """Return the verdicts on the expectations of the study."""
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
    """Return the name of the start with the highest PSNR after three steps."""
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
        f'{MARK_DB:g} dB within 3 steps',
        _verdict(None if leader is None else found[leader].at(3) >= MARK_DB),
        '' if leader is None else f'`{leader}`: {found[leader].at(3):.1f} dB',
    )


def _sooner(found: Mapping[str, Summary], learned: Sequence[str], others: Sequence[str], named: str) -> Claim:
    """Compare seconds of one datapoint; each learned start counts at the step with its largest lead."""
    text = f'at {MARK_DB:g} dB or above within 3 steps 8 times sooner than {named}'
    if not learned or not others:
        return Claim(text, 'not measured', '')
    steps = [(name, step) for name in learned for step in (0, 1, 2, 3) if found[name].at(step) >= MARK_DB]
    ratio, numbers = max((_ratio(found, *each, others) for each in steps), default=(0.0, 'none is there'))
    return Claim(text, _verdict(ratio >= 8), numbers)


def _ratio(found: Mapping[str, Summary], name: str, step: int, others: Sequence[str]) -> tuple[float, str]:
    """Return how many times longer the fastest other start takes to the PSNR of a start at ``step``, and a sentence."""
    target, seconds = found[name].at(step), found[name].seconds_at(step)
    begin = f'`{name}` is at {target:.1f} dB after {step} steps, {1e3 * seconds:.2f} ms'
    reached = {other: at for other in others if (at := found[other].reach(target)) is not None}
    if not reached:
        return np.inf, f'{begin}; none of the others gets there'
    fastest = min(reached, key=lambda other: reached[other][1])
    its_steps, its_seconds = reached[fastest]
    ratio = its_seconds / seconds
    return ratio, f'{begin}; `{fastest}` after {its_steps:.0f} steps, {1e3 * its_seconds:.2f} ms, ratio {ratio:.1f}'


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
    """Return the formatted number; ``-`` for ``None``."""
    return '-' if value is None or not np.isfinite(value) else format(value, spec)


def own_tables(rows: Sequence[Row]) -> dict[Group, dict[str, Summary]]:
    """Return the tables at the configs' own sizes: the dataset with most tables first, then the longest training."""
    own = {group: members for group, members in groups(rows).items() if group.budget == 'seconds'}
    datasets = [group.dataset for group in own]
    leads = lambda name: (datasets.count(name), name == 'photo_patches_32')
    tables = {}
    for group in sorted(own, key=lambda group: leads(group.dataset), reverse=True):
        found = {name: summarise(members) for name, members in own[group].items()}
        tables[group] = {name: each for name, each in found.items() if each is not None}
    return tables


def leading_tables(rows: Sequence[Row]) -> dict[Group, dict[str, Summary]]:
    """Return the tables of `own_tables` for the first dataset."""
    tables = own_tables(rows)
    leading = next(iter(tables), None)
    return {group: found for group, found in tables.items() if leading is not None and group.dataset == leading.dataset}
