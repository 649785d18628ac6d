"""Draw tables, verdicts and pictures of `experiments.predict_then_finetune` from its JSON alone.

``python -m experiments.predict_then_finetune_report JSON [--to docs/results] [--methods docs/methods.md] [--readme
README.md]``. ``--to`` copies the JSON to a folder and draws there. ``--methods`` fills the last column of the table of
methods. ``--readme`` fills the part between two marks.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.finetuning_summary import (
    Group,
    Row,
    Summary,
    claims,
    format_number,
    groups,
    leading_tables,
    own_tables,
    summarise,
)
from experiments.starts import LEARNED
from experiments.study import format_table
from hyperinr.errors import InputError
from hyperinr.runtime.files import replacing

__all__ = ['draw', 'fill_methods', 'fill_readme', 'main']

SHOWN_STEPS = (0, 1, 3, 10, 30, 100, 500)
README_STEPS = (0, 1, 3, 10, 30, 100)
UNSEEN_STEPS = (10, 500)
MARKS_DB = (30.0, 35.0)
TOP_DB = 60.0
"""Upper end of the pictures' PSNR axis in dB: at that PSNR errors are far below a step of eight bits."""
MARKS = ('<!-- predict_then_finetune: begin -->', '<!-- predict_then_finetune: end -->')
MEASURED = 'measured: dB after 0 / 3 / 100 steps'
NOT_RUN = 'not run'


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
        format_number(summary.flattens(), '.0f'),
        str(len(summary.rows)),
        f'{rule["optimizer"]} {rule["rate"]:.2g}{", in metric" if rule["in_metric"] else ""}',
        *cells,
        *unseen,
        *('-' if each is None else f'{each[0]:.0f} / {1e3 * each[1]:.1f}' for each in reached),
    ]


HEADER = [
    'start', 'parameters', 'weights', 'updates', 'training s', 'flat after s', 'seeds', 'rule',
    *(f'{step} steps' for step in SHOWN_STEPS),
    *(f'unseen, {step} steps' for step in UNSEEN_STEPS), *(f'steps / ms to {mark:g} dB' for mark in MARKS_DB),
]  # fmt: skip


def draw(path: Path) -> list[Path]:
    """Write the markdown and a picture for each table beside the JSON; return their paths."""
    content = json.loads(path.read_text(encoding='utf-8'))
    protocol, about = content['protocol'], content['machine']
    text = [
        '# Predict, then fine-tune',
        '',
        f'Drawn from `{path.name}`: SIREN 3 x {protocol["width"]}, {protocol["num_test"]} test datapoints, PSNR in dB '
        f'with its 95 % interval over seeds and datapoints, after so many steps in all, own ones included, each start '
        f'by its own best rule. "unseen": fits to half of the points, judged on the others. Milliseconds are those of '
        f'one datapoint in a batch of {protocol["num_test"]}, encoding included. "flat after": seconds of training '
        'after which PSNR on the validation split, after the own steps, stays within 0.5 dB of its best. '
        f'{about["devices"]} {about["platform"]} device(s) ({about["device"]}), Python {about["python"]}, '
        f'jax {about["jax"]}.',
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
    """Draw PSNR against steps and seconds, and for learned starts against training time; leading starts in colour."""
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
    steps.set_ylim(top=TOP_DB)
    seconds.set(xscale='log', xlabel='milliseconds of one datapoint')
    seconds.set_ylim(top=TOP_DB)
    training.set(xlabel='seconds of training', ylabel='PSNR (dB) after own steps, validation')
    steps.legend(fontsize=7)
    figure.savefig(path)


def fill_methods(methods: Path, rows: Sequence[Row]) -> None:
    """Fill or add the last column of the table with a column ``config``: the best start of each row.

    A row's starts have its config and its ``-p`` bindings. They are taken from the widest table. If it has none, they
    are taken from a table of another dataset after as many seconds, and the entry names that dataset.

    Raises:
      InputError: the file has no such table.
    """
    tables = sorted(own_tables(rows).items(), key=lambda table: -len(table[1]))
    tables = [table for table in tables if table[0].seconds == tables[0][0].seconds]
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
        cells.append(fills[number] if number in fills else _measured(cells[column], tables))
        lines[number] = '| ' + ' | '.join(cells) + ' |'
    lines[heads[0] + 1] = re.sub(r' (-+) ', r'\1', lines[heads[0] + 1])
    with replacing(methods) as temporary:
        temporary.write_text('\n'.join(lines), encoding='utf-8')


def _measured(config: str, tables: Sequence[tuple[Group, Mapping[str, Summary]]]) -> str:
    spans = re.findall(r'`([^`]+)`', config)
    names = {span for span in spans if not span.startswith('-p')}
    shown = {span.removeprefix('-p').strip(' "') for span in spans if span.startswith('-p')}

    def belongs(name: str) -> bool:
        start = LEARNED.get(name)
        return start is not None and start.config in names and {each.replace(' ', '') for each in start.shown} == shown

    for group, found in tables:
        mine = [name for name in found if belongs(name)]
        if mine:
            best = max(mine, key=lambda name: found[name].at(3))
            where = '' if group.dataset == tables[0][0].dataset else f', {group.dataset}'
            return f'{" / ".join(format_number(found[best].at(step), ".1f") for step in (0, 3, 100))} (`{best}`{where})'
    return NOT_RUN


def fill_readme(readme: Path, rows: Sequence[Row], *, link: str) -> None:
    """Put the leading starts of the leading tables between the marks of a file; skip tables with one learned start.

    Raises:
      InputError: the file lacks one of the marks.
    """
    text = readme.read_text(encoding='utf-8')
    begin, end = (text.find(mark) for mark in MARKS)
    if begin < 0 or end < begin:
        raise InputError(f'{readme} lacks the marks {MARKS[0]} and {MARKS[1]}.')
    compared = lambda found: sum(each.rows[0]['kind'] != 'random' for each in found.values()) > 1
    blocks = [_leading_block(group, found) for group, found in leading_tables(rows).items() if compared(found)]
    where = f'All starts, on all data, with intervals and seconds: [{Path(link).name}]({link}).\n'
    filled = f'{text[:begin]}{MARKS[0]}\n\n{"".join(blocks)}{where if blocks else ""}{text[end:]}'
    with replacing(readme) as temporary:
        temporary.write_text(filled, encoding='utf-8')


def _leading_block(group: Group, found: Mapping[str, Summary]) -> str:
    ranked = sorted(found, key=lambda name: -found[name].at(3))
    learned = [name for name in ranked if found[name].rows[0]['kind'] != 'random']
    chosen = [*learned[:3], *(name for name in ('meta_sgd', 'maml', 'functa') if name in learned[3:])]
    chosen += [name for name in ranked if name not in learned]
    lines = [[f'`{name}`', *(format_number(found[name].at(step), '.1f') for step in README_STEPS)] for name in chosen]
    first, *others = README_STEPS
    table = format_table(['start', f'{first} steps', *map(str, others)], lines)
    return f'{group.title}; PSNR in dB:\n\n{table}\n\n'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
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
