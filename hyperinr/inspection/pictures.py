"""Draw an evaluation: reconstructions side by side, their errors, PSNR against steps and against seconds."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperinr.evaluation.curves import Example
from hyperinr.panels import panel, plane
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import replacing
from hyperinr.runtime.outputs import PNG_MARK, replacing_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    'draw_comparison',
    'draw_curves',
    'draw_errors',
    'draw_fit',
    'error_map',
    'logarithmic',
    'new_axes',
    'new_figure',
    'save_figure',
    'show_image',
]

COLORS = {
    'generated': 'tab:blue',
    'random': 'tab:orange',
    'weight_scaled': 'tab:red',
    'constant': 'tab:green',
    'feature_grid': 'tab:gray',
}
MOST_SHOWN_DB = 80.0
"""Top of the axis of a picture of PSNR. Above it a picture of 8 bits is exact many times over."""
LABELS = {
    'generated': 'generated weights',
    'random': 'random start',
    'weight_scaled': 'weight-scaled random start',
    'constant': 'learned constant start',
    'feature_grid': 'feature grid',
}


def new_figure(width: float, height: float) -> 'Figure':
    """Make a figure of this size in inches. It needs no display and leaves the user's matplotlib state unchanged."""
    module = import_extra('matplotlib.figure', needed_by='a picture', package='matplotlib', extra='viz')
    figure: Figure = module.Figure(figsize=(width, height), dpi=100, layout='constrained')
    return figure


def new_axes(width: float, height: float, xlabel: str, ylabel: str = '') -> tuple['Figure', 'Axes']:
    """Make a figure of this size in inches with one plot, which has a grid; return both."""
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    return figure, axes


def save_figure(figure: 'Figure', path: str | os.PathLike) -> Path:
    """Write a figure atomically, in the format of the suffix of ``path``.

    Raises:
      InputError: ``path`` is a PNG of another program, or there is no permission to write.
      RunError: the disk is full.
    """
    if Path(path).suffix == '.png':
        with replacing_output(path) as temporary:
            figure.savefig(temporary, metadata=PNG_MARK)
    else:
        with replacing(path) as temporary:
            figure.savefig(temporary)
    return Path(path)


def show_image(axes: 'Axes', image: np.ndarray, title: str, **options: Any) -> None:
    """Draw an image ``[H, W]`` or ``[H, W, 3]`` with a small title; ``options`` go to matplotlib's ``imshow``."""
    axes.imshow(image, interpolation='nearest', **options)
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


def logarithmic(axes: 'Axes') -> None:
    """Make the horizontal axis logarithmic, with plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import LogLocator

    axes.set_xscale('log')
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter('{x:g}')
    axes.minorticks_off()


def error_map(example: Example, caption: str) -> np.ndarray:
    """Return the error at each sample, as the root mean square over channels; 0 on padding.

    Args:
      example: the example.
      caption: a key of ``example.reconstructions``.

    Returns:
      ``[*grid]`` >= 0, in units of the values.
    """
    error = np.sqrt(np.mean(np.square(example.reconstructions[caption] - example.original), axis=-1))
    return np.where(example.weight > 0, error, 0)


def _rows(examples: Sequence[Example], draw: Callable[[np.ndarray, Example], None]) -> 'Figure':
    columns = 1 + len(examples[0].reconstructions)
    figure = new_figure(2.0 * columns, 2.3 * len(examples))
    panels = figure.subplots(len(examples), columns, squeeze=False)
    for row, example in zip(panels, examples, strict=True):
        show_image(row[0], panel(example.original, example.spec), f'original\n{example.name}')
        draw(row[1:], example)
    return figure


def draw_comparison(path: str | os.PathLike, examples: Sequence[Example]) -> Path:
    """Draw a row for each example: the original, then each reconstruction with its PSNR.

    Args:
      path: path of the picture; its suffix gives the format.
      examples: at least one example, all with the same captions.

    Raises:
      InputError: matplotlib or the permission to write is missing.
    """

    def draw(row: np.ndarray, example: Example) -> None:
        for axes, (caption, values) in zip(row, example.reconstructions.items(), strict=True):
            show_image(axes, panel(values, example.spec), f'{caption}\n{example.psnr_db[caption]:.1f} dB')

    return save_figure(_rows(examples, draw), path)


def draw_errors(path: str | os.PathLike, examples: Sequence[Example]) -> Path:
    """Draw the `error_map`s in the order of `draw_comparison`, on one scale for the whole picture.

    They are arranged by `hyperinr.panels.plane`: volumes and solids as slices, sounds as a stripe of means.

    Raises:
      InputError: matplotlib or the permission to write is missing.
    """
    largest = max(error_map(example, caption).max() for example in examples for caption in example.reconstructions)

    def draw(row: np.ndarray, example: Example) -> None:
        for axes, caption in zip(row, example.reconstructions, strict=True):
            error = error_map(example, caption)
            shown, title = plane(error[..., None], example.spec)[..., 0], f'{caption}\nlargest {error.max():.3g}'
            show_image(axes, shown, title, cmap='magma', vmin=0, vmax=max(largest, 1e-12))

    figure = _rows(examples, draw)
    figure.suptitle(f'error of each sample, from 0 (black) to {largest:.3g} (white)', fontsize=9)
    return save_figure(figure, path)


def draw_curves(path: str | os.PathLike, curves: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draw mean PSNR with its quartiles against fine-tuning steps and against seconds, a line for each curve.

    Args:
      path: path of the picture.
      curves: curves of an evaluation's report.

    Raises:
      InputError: matplotlib or the permission to write is missing.
    """
    figure = new_figure(9.0, 3.6)
    by_steps, by_seconds = figure.subplots(1, 2, sharey=True)
    for name, curve in curves.items():
        color = COLORS.get(name)
        each = np.asarray(curve['psnr_db_per_datapoint'], float)
        low, high = np.nanpercentile(each, [25, 75], axis=0)
        mean = np.asarray(curve['psnr_db'], float)
        for axes, x in ((by_steps, curve['steps']), (by_seconds, 1000 * np.asarray(curve['seconds'], float))):
            axes.plot(x, mean, marker='o', markersize=3, color=color, label=LABELS.get(name, name))
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    by_steps.set_xscale('symlog', linthresh=1)
    by_steps.set_xlim(left=0)
    steps = sorted({step for curve in curves.values() for step in curve['steps']})
    by_steps.set_xticks(steps, [str(step) for step in steps])
    by_steps.minorticks_off()
    by_steps.set(xlabel='fine-tuning steps', ylabel='PSNR (dB)')
    by_steps.set_ylim(top=min(by_steps.get_ylim()[1], MOST_SHOWN_DB))
    by_steps.legend(fontsize=8)
    logarithmic(by_seconds)
    by_seconds.set_xlabel('milliseconds for each datapoint')
    for axes in (by_steps, by_seconds):
        axes.grid(alpha=0.3)
    return save_figure(figure, path)


def draw_fit(path: str | os.PathLike, psnr_db: np.ndarray) -> Path:
    """Draw the PSNR ``[num_steps + 1]`` of one fit against its steps.

    Raises:
      InputError: matplotlib or the permission to write is missing.
    """
    figure, axes = new_axes(5.0, 3.2, 'steps', 'PSNR (dB)')
    axes.plot(np.arange(len(psnr_db)), psnr_db)
    return save_figure(figure, path)
