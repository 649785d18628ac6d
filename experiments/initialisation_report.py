"""Draw table, verdicts and picture of `experiments.initialisation_lab` from its JSON alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.study import format_table

__all__ = ['draw', 'summary', 'verdicts']

LAST = '0.0008'
REPORTED = 'normalised_first_1.73_bias_15'


def summary(rows: Sequence[Mapping[str, Any]], protocol: str) -> dict[str, dict[str, Any]]:
    """Return start -> means over photographs and seeds at ``'best'`` or ``'common'`` rates.

    A mean of steps is ``None`` unless all fits reached the mark. ``reached`` counts fits that reached the last mark.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(row['variant'] for row in rows):
        mine = [row for row in rows if row['variant'] == name and protocol in row['protocol']]
        if not mine:
            continue
        mean = lambda values: None if any(value is None for value in values) else float(np.mean(values))
        marks = mine[0]['steps_to']
        found[name] = {
            'rate': mine[0]['rate'],
            'steps': {mark: mean([row['steps_to'][mark] for row in mine]) for mark in marks},
            'seconds': {mark: mean([row['seconds_to'][mark] for row in mine]) for mark in marks},
            'reached': sum(row['steps_to'][LAST] is not None for row in mine),
            'fits': len(mine),
            'final_mse': mean([row['final_mse'] for row in mine]),
            'odd_share': mean([row['odd_share'] for row in mine]),
            'heldout_psnr_db': mean([row['heldout_psnr_db'] for row in mine]),
        }
    return found


def verdicts(best: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return ``(claim, verdict, numbers)`` at best rates.

    A verdict is ``'reproduced'``, ``'not reproduced'`` or ``'not measured'``.
    """

    def steps(name: str) -> float | None:
        return best[name]['steps'][LAST] if name in best else None

    def final(name: str) -> float:
        value = best[name]['final_mse'] if name in best else None
        return np.inf if value is None else value

    results = []

    def judge(claim: str, needs: Sequence[str], holds: bool, numbers: str) -> None:
        missing = [name for name in needs if name not in best]
        said = 'not measured' if missing else 'reproduced' if holds else 'not reproduced'
        results.append((claim, said, f'without {", ".join(missing)}' if missing else numbers))

    paper, reported = steps('paper'), steps(REPORTED)
    ratio = paper / reported if paper and reported else None
    judge(
        f'`{REPORTED}` reaches 0.0008 in 2.78 times fewer steps than `paper` (within a quarter)',
        ['paper', REPORTED],
        ratio is not None and 2.78 / 1.25 <= ratio <= 2.78 * 1.25,
        f'{_number(paper)} and {_number(reported)} steps, ratio {_number(ratio, ".2f")}',
    )
    hand_made = [name for name in best if not name.startswith('run:')]
    lowest = min(hand_made, key=final, default='')
    phases = [name for name in hand_made if name.endswith('phase_pi')]
    judge('Biases U(-pi/omega, +) end lowest', ['phase_pi'], lowest in phases,
          f'lowest is `{lowest}`, {final(lowest) if lowest else np.inf:.2e}; '
          + ', '.join(f'`{name}` {final(name):.2e}' for name in phases))  # fmt: skip
    odd = best['no_bias']['odd_share'] if 'no_bias' in best else None
    judge('No bias superimposes the image rotated by 180 degrees', ['no_bias'], odd is not None and odd > 0.99,
          f'{_number(odd, ".3f")} of the reconstruction is odd (1: f(-x) = -f(x))')  # fmt: skip
    slow = steps('omega_10')
    slower = slow is not None and (paper is None or slow > paper)
    numbers = f'{_number(slow)} against {_number(paper)} steps'
    judge('Omega 10 is slower than 30 and gets there', ['paper', 'omega_10'], slower, numbers)
    judge('Omega 40 and 50 plateau above omega 30', ['paper', 'omega_40', 'omega_50'],
          min(final('omega_40'), final('omega_50')) > final('paper'),
          f'{final("omega_40"):.2e} and {final("omega_50"):.2e} against {final("paper"):.2e}')  # fmt: skip
    frozen = ['first_layer_frozen', 'two_layers_frozen']
    reached = {name: (best[name]['reached'], best[name]['fits']) for name in frozen if name in best}
    numbers = ', '.join(f'`{name}` {count} of {fits} fits reach it' for name, (count, fits) in reached.items())
    missed = all(count == 0 for count, _ in reached.values())
    judge('With the first or the first two layers frozen 0.0008 is missed', frozen, missed, numbers)
    arrived = [name for name in hand_made if steps(name) is not None]
    fastest = min(arrived, key=lambda name: steps(name) or 0, default=None)
    for name in (name for name in best if name.startswith('run:')):
        mine, other = steps(name), steps(fastest) if fastest else None
        gain = other / max(mine, 1) if mine is not None and other else None
        judge(f'`{name}` needs 10 times fewer steps than the best hand-made start', [], gain is not None and gain >= 10,
              f'{_number(mine)} against {_number(other)} of `{fastest}`, ratio {_number(gain, ".1f")}')  # fmt: skip
    return results


def _number(value: float | None, spec: str = '.0f') -> str:
    return '-' if value is None else format(value, spec)


def draw(path: Path) -> None:
    """Write the markdown table and the picture beside the JSON."""
    content = json.loads(path.read_text(encoding='utf-8'))
    rows, protocol, machine = content['rows'], content['protocol'], content['machine']
    best, common = (summary(rows, kind) for kind in ('best', 'common'))
    size, timing = protocol['size'], content['timing']
    text = [
        '# Initialisation laboratory',
        '',
        f'Drawn from `{path.name}`: {size} x {size} pixels of {", ".join(protocol["photographs"])}, SIREN '
        f'{protocol["depth"]} x {protocol["width"]}, AdamW, {protocol["num_steps"]} steps, {protocol["seeds"]} seeds. '
        f'{machine["devices"]} {machine["platform"]} device(s) ({machine["device"]}), Python {machine["python"]}, '
        f'jax {machine["jax"]}; {timing["seconds"]:.0f} s in the last call, {timing["seconds_before"]:.0f} '
        'device-seconds before it. Means over photographs and seeds; - where a fit missed the mark. Seconds are those '
        'of one fit on one device.',
        '',
        '## Claims',
        '',
        format_table(['claim', 'verdict', 'measured'], [list(each) for each in verdicts(best)]),
    ]  # fmt: skip
    for title, found in (('its best rate', best), (f'rate {protocol["common_rate"]:g}', common)):
        lines = [
            [
                f'`{name}`',
                f'{each["rate"]:g}',
                *(_number(each['steps'][mark]) for mark in each['steps']),
                *(_number(each['seconds'][mark], '.2f') for mark in each['seconds']),
                f'{each["reached"]}/{each["fits"]}',
                _number(each['final_mse'], '.2e'),
                _number(each['heldout_psnr_db'], '.2f'),
            ]
            for name, each in sorted(found.items(), key=lambda item: (item[1]['steps'][LAST] or np.inf, item[0]))
        ]
        marks = [str(mark) for mark in protocol['marks']]
        header = ['start', 'rate', *(f'steps to {mark}' for mark in marks), *(f's to {mark}' for mark in marks)]
        header += [f'reached {LAST}', 'final MSE', 'held-out dB']
        text += ['', f'## Each start at {title}', '', format_table(header, lines)]
    path.with_suffix('.md').write_text('\n'.join(text) + '\n', encoding='utf-8')
    _picture(path.with_suffix('.png'), content, best)


def _picture(path: Path, content: Mapping[str, Any], best: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw error against steps; the best, the published and the learned starts in colour, all others grey."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ranked = sorted(best, key=lambda name: best[name]['final_mse'] or np.inf)
    named = {*ranked[:3], 'paper', REPORTED, *(name for name in best if name.startswith('run:'))}
    for name in best:
        curves = [row for row in content['rows'] if row['variant'] == name and 'best' in row['protocol']]
        values = np.array([[np.nan if value is None else value for value in row['curve']] for row in curves])
        steps = np.array(content['curve_steps']) + curves[0]['adaptation_steps']
        style = {'label': name, 'zorder': 3} if name in named else {'color': 'lightgrey', 'linewidth': 0.8}
        axes.plot(np.maximum(steps, 0.7), np.exp(np.log(np.maximum(values, 1e-12)).mean(axis=0)), **style)
    for mark in (0.08, 0.02, 0.0008):
        axes.axhline(mark, color='black', linewidth=0.5, linestyle=':')
    axes.set(xscale='log', yscale='log', xlabel='steps', ylabel='mean squared error, each start at its best rate')
    axes.legend(fontsize=8)
    figure.savefig(path)
