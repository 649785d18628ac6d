"""Draw an overview of a search: one HTML page with its pictures and every trial."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperinr.inspection.page import render
from hyperinr.inspection.pictures import logarithmic, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ['check_drawing', 'write_page']

COLUMNS = 3
"""Columns of the pictures of single parameters."""


def check_drawing() -> None:
    """Check that `write_page` can draw, before the work whose results it shows.

    Raises:
      InputError: matplotlib is missing.
    """
    new_figure(1.0, 1.0)


def write_page(
    path: str | os.PathLike,
    *,
    title: str,
    objective: str,
    maximize: bool,
    kinds: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    importance: Mapping[str, float],
    best: int,
) -> Path:
    """Draw a search.

    Args:
      path: path of the page, which needs no other file.
      title: title of the page.
      objective: name of the objective.
      maximize: whether more is better.
      kinds: parameter -> kind: ``'log'`` gets a logarithmic axis, ``'choice'`` a position for each value.
      rows: the ended trials: ``number``, ``state``, ``value`` (``None`` if there is none), ``drawn``, ``reports`` by
        step, ``seconds``, ``reason``.
      importance: parameter -> share; may be empty.
      best: number of the best trial.

    Returns:
      The path.

    Raises:
      InputError: matplotlib or the permission to write is missing.
    """
    drawn = {
        'Trials': _draw_history(rows, objective, maximize),
        'Training': _draw_reports(rows, objective, best),
        'Parameters': _draw_parameters(rows, objective, kinds, best),
        'Importance': _draw_importance(importance) if importance else None,
    }
    worse = lambda row: np.inf if row['value'] is None else (-row['value'] if maximize else row['value'])
    return render(
        path,
        'sweep.html',
        title=title,
        objective=objective,
        pictures={name: _png(figure) for name, figure in drawn.items() if figure is not None},
        bindings=list(dict.fromkeys(name for row in rows for name in row['drawn'])),
        rows=sorted(rows, key=worse),
    )


def _png(figure: 'Figure') -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def _draw_history(rows: Sequence[Mapping[str, Any]], objective: str, maximize: bool) -> 'Figure':
    from matplotlib.ticker import MaxNLocator

    complete = sorted((row for row in rows if row['value'] is not None), key=lambda row: row['number'])
    numbers, values = [row['number'] for row in complete], [row['value'] for row in complete]
    figure, axes = new_axes(8.0, 3.2, 'trial', objective)
    axes.scatter(numbers, values, s=16, label='complete')
    axes.step(numbers, (np.maximum if maximize else np.minimum).accumulate(values), where='post', label='best so far')
    for state, color in (('pruned', 'tab:gray'), ('fail', 'tab:red')):
        left = [row['number'] for row in rows if row['state'] == state]
        if left:
            axes.scatter(left, [min(values)] * len(left), s=16, marker='x', color=color, label=state)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)
    return figure


def _draw_reports(rows: Sequence[Mapping[str, Any]], objective: str, best: int) -> 'Figure | None':
    curves = [row for row in rows if len(row['reports']) > 1]
    if not curves:
        return None
    figure, axes = new_axes(8.0, 3.2, 'steps of training (orange: pruned or failed)', objective)
    for row in sorted(curves, key=lambda row: row['number'] == best):
        chosen = row['number'] == best
        color = 'tab:blue' if chosen else ('tab:gray' if row['state'] == 'complete' else 'tab:orange')
        label = f'trial {best}' if chosen else None
        steps = [int(step) for step in row['reports']]
        axes.plot(steps, list(row['reports'].values()), color=color, linewidth=2 if chosen else 0.8, label=label)
    if any(row['number'] == best for row in curves):
        axes.legend(fontsize=8)
    return figure


def _draw_parameters(
    rows: Sequence[Mapping[str, Any]], objective: str, kinds: Mapping[str, str], best: int
) -> 'Figure':
    complete = [row for row in rows if row['value'] is not None]
    bindings = list(dict.fromkeys(name for row in complete for name in row['drawn']))
    lines = -(-len(bindings) // COLUMNS)
    figure = new_figure(3.0 * COLUMNS, 2.6 * lines)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).flat
    for axes, name in zip(panels, bindings, strict=False):
        with_it = [row for row in complete if name in row['drawn']]
        drawn = [row['drawn'][name] for row in with_it]
        if kinds[name] == 'choice':
            drawn = [str(value) for value in drawn]
        colors = ['tab:blue' if row['number'] == best else 'tab:gray' for row in with_it]
        axes.scatter(drawn, [row['value'] for row in with_it], s=14, color=colors)
        if kinds[name] == 'log':
            logarithmic(axes)
        axes.set_xlabel(name, fontsize=8)
        axes.grid(alpha=0.3)
    for axes in list(figure.axes)[len(bindings) :]:
        axes.set_axis_off()
    figure.axes[0].set_ylabel(objective)
    return figure


def _draw_importance(importance: Mapping[str, float]) -> 'Figure':
    share = 'share of the variation among the complete trials (PED-ANOVA)'
    figure, axes = new_axes(8.0, 0.8 + 0.35 * len(importance), share)
    names = list(importance)[::-1]
    axes.barh(names, [importance[name] for name in names])
    return figure
