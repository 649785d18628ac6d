"""Tables, verdicts and pictures of `experiments.predict_then_finetune`, from its JSON alone.

``python -m experiments.predict_then_finetune_report JSON [--to docs/results] [--methods docs/methods.md] [--readme
README.md]``. ``--to`` copies the JSON there and draws beside it; ``--methods`` fills the last column of the table of
methods, ``--readme`` the part between two marks.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.starts import LEARNED
from experiments.study import format_table
from hyperinr.errors import InputError
from hyperinr.files import replacing

__all__ = ['Group', 'Summary', 'claims', 'draw', 'fill_methods', 'fill_readme', 'groups', 'summarise']

SHOWN_STEPS = (0, 1, 3, 10, 30, 100, 500)
UNSEEN_STEPS = (10, 500)
MARKS_DB = (30.0, 35.0)
RESAMPLES = 1000
MARKS = ('<!-- predict_then_finetune: begin -->', '<!-- predict_then_finetune: end -->')
MEASURED = 'measured: dB after 0 / 3 / 100 steps'
NOT_RUN = 'not run'

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
          f'`{predicted}` against `{constant}`: {_number(margin, "+.2f")} dB')  # fmt: skip

    pair = [found[name].at(3) if name in found else None for name in ('predicted_rates_k3', 'heads_k3')]
    margin = pair[0] - pair[1] if None not in pair else None
    judge('predicted step sizes are better than learned constant ones at 3 steps',
          None if margin is None else margin > 0, f'{_number(margin, "+.2f")} dB')  # fmt: skip

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
        numbers = f'`{leader}` is at {target:.1f} dB after {_number(mine and 1e3 * mine[1], ".2f")} ms; '
        numbers += (
            f'`{fewest}` after {reached[fewest][0]:.0f} steps, `{fastest}` after {1e3 * reached[fastest][1]:.2f} ms, '
            f'ratio {_number(ratio, ".1f")}'
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


def _number(value: float | None, spec: str) -> str:
    return '-' if value is None or not np.isfinite(value) else format(value, spec)


def _line(name: str, summary: Summary) -> list[str]:
    first = summary.rows[0]
    rule = first['rule']
    cells = []
    for step in SHOWN_STEPS:
        column = np.flatnonzero(summary.steps == step)
        half = (summary.high - summary.low)[column] / 2
        cells.append(f'{summary.at(step):.1f} ± {half[0]:.1f}' if column.size else '-')
    unseen = []
    for step in UNSEEN_STEPS:
        if step in first['unseen']['steps']:
            column = first['unseen']['steps'].index(step)
            values = [each[column] for row in summary.rows for each in row['unseen']['psnr_db_per_datapoint']]
            unseen.append('-' if None in values else f'{np.mean(values):.1f}')
        else:
            unseen.append('-')
    reached = [summary.reach(mark) for mark in MARKS_DB]
    updates = int(np.mean([row['updates'] for row in summary.rows]))
    seconds = np.mean([row['training_seconds'] for row in summary.rows])
    return [
        f'`{name}`',
        f'{first["parameters"]:,}',
        f'{first["weights"]:,}',
        f'{updates:,}' if updates else '-',
        f'{seconds:.0f}' if updates else '-',
        str(len(summary.rows)),
        f'{rule["optimizer"]} {rule["rate"]:.2g}{", in metric" if rule["in_metric"] else ""}',
        *cells,
        *unseen,
        *('-' if each is None else f'{each[0]:.0f} / {1e3 * each[1]:.1f}' for each in reached),
    ]


HEADER = [
    'start', 'parameters', 'weights', 'updates', 'training s', 'seeds', 'rule',
    *(f'{step} steps' for step in SHOWN_STEPS),
    *(f'unseen, {step} steps' for step in UNSEEN_STEPS), *(f'steps / ms to {mark:g} dB' for mark in MARKS_DB),
]  # fmt: skip


def draw(path: Path) -> list[Path]:
    """Writes the markdown and a picture for each table beside the JSON; returns their paths."""
    content = json.loads(path.read_text(encoding='utf-8'))
    protocol, about = content['protocol'], content['machine']
    text = [
        '# Predict, then fine-tune',
        '',
        f'Drawn from `{path.name}`: SIREN 3 x {protocol["width"]}, {protocol["num_test"]} test datapoints, PSNR in dB '
        f'with its 95 % interval over seeds and datapoints, after so many steps in all, own ones included, each start '
        f'by its own best rule. "unseen": fits to half of the points, judged on the others. Milliseconds are those of '
        f'one datapoint in a batch of {protocol["num_test"]}, encoding included. {about["devices"]} '
        f'{about["platform"]} device(s) ({about["device"]}), Python {about["python"]}, jax {about["jax"]}.',
    ]
    drawn = []
    for group, members in groups(content['rows']).items():
        summaries = {name: summarise(mine) for name, mine in members.items()}
        found = {name: each for name, each in summaries.items() if each is not None}
        ranked = sorted(found, key=lambda name: (found[name].rows[0]['kind'] == 'random', -found[name].at(3)))
        picture = path.with_name(f'{path.stem}_{group.dataset}_{group.budget}_{group.seconds:g}.png')
        text += ['', f'## {group.title}', '', f'![{group.title}]({picture.name})', '']
        text += [format_table(['claim', 'verdict', 'measured'], [list(each) for each in claims(found)]), '']
        text.append(format_table(HEADER, [_line(name, found[name]) for name in ranked]))
        failed = sorted(
            {f'`{row["start"]}`: {row["failed"]}' for mine in members.values() for row in mine if 'failed' in row}
        )
        text += ['', *(f'Failed: {line}' for line in failed)] if failed else []
        _picture(picture, found, ranked)
        drawn.append(picture)
    markdown = path.with_suffix('.md')
    markdown.write_text('\n'.join(text) + '\n', encoding='utf-8')
    return [markdown, *drawn]


def _picture(path: Path, found: Mapping[str, Summary], ranked: Sequence[str]) -> None:
    """PSNR against steps and seconds, and of learned starts against training time; the leading ones in colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    steps, seconds, training = figure.subplots(1, 3)
    learned = [name for name in ranked if found[name].rows[0]['kind'] != 'random']
    named = {*learned[:4], 'meta_sgd', 'functa', *(name for name in ranked if name not in learned)}
    for name in ranked:
        each = found[name]
        style = {'label': name, 'zorder': 3} if name in named else {'color': 'lightgrey', 'linewidth': 0.8}
        (line,) = steps.plot(each.steps, each.psnr_db, **style)
        seconds.plot(1e3 * each.seconds, each.psnr_db, **style)
        if name in named:
            steps.fill_between(each.steps, each.low, each.high, color=line.get_color(), alpha=0.15, linewidth=0)
        validated = each.rows[0]['validation']
        if len(validated) > 1:
            training.plot(*zip(*validated, strict=True), **style)
    steps.set(xscale='symlog', xlabel='steps', ylabel='PSNR (dB), test')
    seconds.set(xscale='log', xlabel='milliseconds of one datapoint')
    training.set(xlabel='seconds of training', ylabel='PSNR (dB) after own steps, validation')
    steps.legend(fontsize=7)
    figure.savefig(path)


def _leading(rows: Sequence[Row]) -> tuple[Group, dict[str, Summary]] | None:
    """The table with the most starts, of the longest training among equals, at the configs' own sizes."""
    own = {group: members for group, members in groups(rows).items() if group.budget == 'seconds'}
    if not own:
        return None
    group = max(own, key=lambda each: (each.dataset == 'photo_patches_32', len(own[each]), each.seconds))
    found = {name: summarise(mine) for name, mine in own[group].items()}
    return group, {name: each for name, each in found.items() if each is not None}


def fill_methods(methods: Path, rows: Sequence[Row]) -> None:
    """Fills, or adds, the last column of the table that has a column ``config``: the best start of each row.

    A row's starts are those with its config and with the ``-p`` bindings that it names.

    Raises:
      InputError: the file has no such table.
    """
    leading = _leading(rows)
    found = leading[1] if leading else {}
    lines = methods.read_text(encoding='utf-8').split('\n')
    heads = [number for number, line in enumerate(lines) if line.startswith('|') and ' config |' in line]
    if not heads:
        raise InputError(f'{methods} has no table with a column "config".')
    header = [cell.strip() for cell in lines[heads[0]].strip('|').split('|')]
    column = header.index('config')
    known = header[-1].startswith('measured')
    for number in range(heads[0], len(lines)):
        if not lines[number].startswith('|'):
            break
        cells = [cell.strip() for cell in lines[number].strip().strip('|').split('|')]
        cells = cells[:-1] if known else cells
        fills = {heads[0]: MEASURED, heads[0] + 1: '---'}
        cells.append(fills[number] if number in fills else _measured(cells[column], found))
        lines[number] = '| ' + ' | '.join(cells) + ' |'
    lines[heads[0] + 1] = re.sub(r' (-+) ', r'\1', lines[heads[0] + 1])
    with replacing(methods) as temporary:
        temporary.write_text('\n'.join(lines), encoding='utf-8')


def _measured(config: str, found: Mapping[str, Summary]) -> str:
    spans = re.findall(r'`([^`]+)`', config)
    names = {span for span in spans if not span.startswith('-p')}
    shown = {span.removeprefix('-p').strip(' "').replace(' ', '') for span in spans if span.startswith('-p')}
    mine = [
        name
        for name in found
        if name in LEARNED
        and LEARNED[name].config in names
        and {each.replace(' ', '').removeprefix('meta_learning.') for each in LEARNED[name].shown}
        == {each.removeprefix('meta_learning.') for each in shown}
    ]
    if not mine:
        return NOT_RUN
    best = max(mine, key=lambda name: found[name].at(3))
    return f'{" / ".join(_number(found[best].at(step), ".1f") for step in (0, 3, 100))} (`{best}`)'


def fill_readme(readme: Path, rows: Sequence[Row], *, link: str) -> None:
    """Puts the leading starts between the two marks of a file.

    Raises:
      InputError: the file has not both marks.
    """
    text = readme.read_text(encoding='utf-8')
    begin, end = (text.find(mark) for mark in MARKS)
    if begin < 0 or end < begin:
        raise InputError(f'{readme} lacks the marks {MARKS[0]} and {MARKS[1]}.')
    leading = _leading(rows)
    block = ''
    if leading:
        group, found = leading
        ranked = sorted(found, key=lambda name: -found[name].at(3))
        learned = [name for name in ranked if found[name].rows[0]['kind'] != 'random']
        chosen = [*learned[:3], *(name for name in ('meta_sgd', 'functa') if name in learned[3:])]
        chosen += [name for name in ranked if name not in learned]
        lines = [[f'`{name}`', *(_number(found[name].at(step), '.1f') for step in SHOWN_STEPS)] for name in chosen]
        header = ['start', *(f'{step} steps' for step in SHOWN_STEPS)]
        block = (
            f'{group.title}; PSNR in dB, all starts in [{Path(link).name}]({link}).\n\n{format_table(header, lines)}\n'
        )
    filled = (
        f'{text[:begin]}{MARKS[0]}\n\n{block}\n{text[end:]}' if block else f'{text[:begin]}{MARKS[0]}\n{text[end:]}'
    )
    with replacing(readme) as temporary:
        temporary.write_text(filled, encoding='utf-8')


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog='python -m experiments.predict_then_finetune_report', description=__doc__)
    parser.add_argument('json', type=Path, help='that the study wrote')
    parser.add_argument('--to', type=Path, metavar='FOLDER', help='copy the JSON there and draw beside it')
    parser.add_argument('--methods', type=Path, metavar='FILE', help='fill the column of docs/methods.md')
    parser.add_argument('--readme', type=Path, metavar='FILE', help='fill the part between its marks')
    options = parser.parse_args(arguments)
    path = options.json
    try:
        if not path.is_file():
            raise InputError(f'{path} is no file; run `python -m experiments.predict_then_finetune` first.')
        if options.to:
            options.to.mkdir(parents=True, exist_ok=True)
            path = Path(shutil.copy(path, options.to / path.name))
        for each in draw(path):
            print(each)
        rows = json.loads(path.read_text(encoding='utf-8'))['rows']
        if options.methods:
            fill_methods(options.methods, rows)
        if options.readme:
            fill_readme(options.readme, rows, link=path.with_suffix('.md').as_posix())
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')


if __name__ == '__main__':
    main()
