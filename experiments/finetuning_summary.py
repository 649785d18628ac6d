"""What the rows of `experiments.predict_then_finetune` say: means with intervals, and verdicts on what was hoped."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.starts import LEARNED

__all__ = ['Group', 'Row', 'Summary', 'claims', 'format_number', 'groups', 'leading_table', 'summarise']

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
    """The tables: random starts are in all of a dataset, starts without a size to choose under both budgets."""
    wanted = sorted({(row['dataset'], row['budget'], row['asked_seconds']) for row in rows if row['asked_seconds']})
    wanted = wanted or sorted({(row['dataset'], row['budget'], 0.0) for row in rows})
    found: dict[Group, dict[str, list[Row]]] = {}
    for dataset, budget, seconds in wanted:
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


def claims(found: Mapping[str, Summary]) -> list[tuple[str, str, str]]:
    """(claim, ``'reached'``, ``'not reached'`` or ``'not measured'``, the numbers)."""
    kinds = {name: each.rows[0]['kind'] for name, each in found.items()}
    own = {name: each.rows[0]['adaptation_steps'] for name, each in found.items()}
    results = []

    def judge(claim: str, holds: bool | None, numbers: str) -> None:
        verdict = 'not measured' if holds is None else 'reached' if holds else 'not reached'
        results.append((claim, verdict, numbers))

    def best(names: Sequence[str]) -> str | None:
        return max(names, key=lambda name: found[name].at(3), default=None)

    predicted = best([name for name, kind in kinds.items() if kind == 'hypernetwork' and own[name] == 3])
    constant = best([name for name in ('maml', 'meta_sgd') if name in found])
    margin = found[predicted].at(3) - found[constant].at(3) if predicted and constant else None
    judge('the best hypernetwork with 3 steps is 1.0 dB above MAML and Meta-SGD at 3 steps',
          None if margin is None else margin >= 1.0,
          f'`{predicted}` against `{constant}`: {format_number(margin, "+.2f")} dB')  # fmt: skip

    pair = [found[name].at(3) if name in found else None for name in ('predicted_rates_k3', 'heads_k3')]
    margin = pair[0] - pair[1] if None not in pair else None
    judge('predicted step sizes are better than learned constant ones at 3 steps',
          None if margin is None else margin > 0, f'{format_number(margin, "+.2f")} dB')  # fmt: skip

    learned = [name for name, kind in kinds.items() if kind != 'random']
    random = [name for name, kind in kinds.items() if kind == 'random']
    leader = best(learned)
    if leader and random:
        target = found[leader].at(3)
        mine = found[leader].reach(target)
        others = {name: found[name].reach(target) for name in random}
        reached = {name: value for name, value in others.items() if value is not None}
        fewest = min(reached, key=lambda name: reached[name][0], default=None)
        fastest = min(reached, key=lambda name: reached[name][1], default=None)
        ratio = reached[fastest][1] / mine[1] if fastest and mine else None
        numbers = f'`{leader}` is at {target:.1f} dB after {format_number(mine and 1e3 * mine[1], ".2f")} ms; '
        numbers += (
            f'`{fewest}` after {reached[fewest][0]:.0f} steps, `{fastest}` after {1e3 * reached[fastest][1]:.2f} ms, '
            f'ratio {format_number(ratio, ".1f")}'
            if fewest and fastest
            else 'no random start gets there'
        )
        holds = True if not reached else ratio is not None and ratio >= 8
        judge(
            'what the best learned start has after 3 steps takes the best random start 8 times as long', holds, numbers
        )
        judge('35 dB within 3 steps', target >= 35, f'`{leader}`: {target:.1f} dB')
    functa = found.get('functa')
    steps = [functa.at(step) for step in (0, 1, 2, 3)] if functa else []
    judge('functa is at 26 dB after 3 steps and rises with every step',
          bool(steps[3] >= 26 and np.all(np.diff(steps) > 0)) if steps else None,
          ', '.join(f'{value:.1f}' for value in steps) + ' dB after 0, 1, 2, 3 steps' if steps else '')  # fmt: skip
    falls = {name: _least_margin(found[name], own[name]) for name in learned}
    worst = min(falls, key=lambda name: falls[name], default=None)
    judge('fine-tuning never falls below what it starts from', None if worst is None else falls[worst] >= 0,
          '' if worst is None else f'least margin {falls[worst]:+.2f} dB, of `{worst}`')  # fmt: skip
    return results


def _least_margin(summary: Summary, own_steps: int) -> float:
    later = summary.psnr_db[summary.steps >= own_steps]
    return float(np.min(later - later[0]))


def format_number(value: float | None, spec: str) -> str:
    """Formatted; ``-`` where there is none."""
    return '-' if value is None or not np.isfinite(value) else format(value, spec)


def leading_table(rows: Sequence[Row]) -> tuple[Group, dict[str, Summary]] | None:
    """The table with the most starts, of the longest training among equals, at the configs' own sizes."""
    own = {group: members for group, members in groups(rows).items() if group.budget == 'seconds'}
    if not own:
        return None
    group = max(own, key=lambda each: (each.dataset == 'photo_patches_32', len(own[each]), each.seconds))
    found = {name: summarise(mine) for name, mine in own[group].items()}
    return group, {name: each for name, each in found.items() if each is not None}
