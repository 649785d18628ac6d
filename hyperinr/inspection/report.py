"""Show an evaluation: a short table on the terminal and pictures on the disk."""

import os
from pathlib import Path

from hyperinr.evaluation.curves import Evaluation
from hyperinr.evaluation.figures import FIGURES
from hyperinr.inspection.pictures import LABELS, draw_comparison, draw_curves, draw_errors
from hyperinr.runtime.files import check_writable_folder
from hyperinr.runtime.outputs import check_outputs

__all__ = ['check_places', 'draw', 'print_table', 'show']

FOLDER, PICTURES = 'pictures', ('comparison.png', 'errors.png', 'curves.png')
WIDTH = 120
"""Characters of a table that is written into a file or a pipe."""


def draw(evaluation: Evaluation, directory: str | os.PathLike) -> list[Path]:
    """Write ``curves.png`` and, for signals on a grid, ``comparison.png`` and ``errors.png``, each atomically.

    Args:
      evaluation: evaluation to draw.
      directory: folder for the pictures, made if it is missing.

    Returns:
      The written files.

    Raises:
      InputError: matplotlib or the permission to write is missing.
      RunError: the disk is full.
    """
    directory = check_writable_folder(directory)
    comparison, errors, curves = (directory / name for name in PICTURES)
    paths = []
    if evaluation.examples:
        paths.append(draw_comparison(comparison, evaluation.examples))
        paths.append(draw_errors(errors, evaluation.examples))
    paths.append(draw_curves(curves, evaluation.report['curves']))
    return paths


def check_places(json_file: str | os.PathLike) -> None:
    """Refuse, before an evaluation, to replace what hyperinr did not write: the JSON file, or a picture of `show`.

    Raises:
      InputError: another program wrote one of the files.
    """
    check_outputs([json_file, *(Path(json_file).parent / FOLDER / name for name in PICTURES)])


def show(evaluation: Evaluation, json_file: str | os.PathLike) -> list[Path]:
    """Print the table, draw into the folder ``pictures`` beside the JSON file, and print all paths.

    Args:
      evaluation: evaluation to show.
      json_file: file of its report.

    Returns:
      The pictures.

    Raises:
      InputError, RunError: as `draw`.
    """
    print_table(evaluation)
    paths = draw(evaluation, Path(json_file).parent / FOLDER)
    print(json_file, *paths, sep='\n')
    return paths


def print_table(evaluation: Evaluation) -> None:
    """Print PSNR, the kind's figures and seconds at each step, and the steps after which the other starts catch up."""
    from rich.console import Console
    from rich.table import Table

    report = evaluation.report
    protocol, curves = report['protocol'], report['curves']
    origins = protocol['num_origins']
    table = Table(
        'start',
        'mean of',
        *(f'{step} steps' for step in curves['generated']['steps']),
        title=f'{protocol["dataset"]}, {protocol["split"]} split, {report["num_datapoints"]} datapoints'
        + (f' of {origins} origin{"s" if origins > 1 else ""}' if origins < report['num_datapoints'] else ''),
    )
    for name, curve in curves.items():
        label = LABELS.get(name, name)
        choice = protocol['optimizers'].get(name)
        if choice is not None:
            label += f'\n({choice["optimizer"]} {choice["learning_rate"]:.2g})'
        table.add_row(label, 'PSNR (dB)', *(_format(value, '.2f') for value in curve['psnr_db']))
        if curve['psnr_db_interval'] is not None:
            ends = zip(*curve['psnr_db_interval'], strict=True)
            table.add_row('', '95 %', *(f'{_format(low, ".1f")}–{_format(high, ".1f")}' for low, high in ends))
        for key, figure in FIGURES.items():
            if any(value is not None for value in curve.get(key, ())):
                table.add_row('', figure.label, *(_format(value, figure.places) for value in curve[key]))
        table.add_row('', 'ms', *(_format(1000 * value, '.3g') for value in curve['seconds']))
        table.add_section()
    console = Console(markup=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(markup=False, soft_wrap=True, width=WIDTH)
    console.print(table)
    reach = protocol['steps_to_reach']
    if reach is None:
        return
    last = curves['generated']['steps'][-1]
    console.print(f'steps to {reach["psnr_db"]:.2f} dB:', highlight=False)
    for name in curves:
        needs = reach[name]
        steps = f'more than {last}' if needs['steps'] is None else str(needs['steps'])
        by = f' ({needs["optimizer"]} {needs["learning_rate"]:.2g})' if needs.get('optimizer') else ''
        console.print(f'  {LABELS.get(name, name):27} {steps}{by}', highlight=False)


def _format(value: float | None, spec: str) -> str:
    return '-' if value is None else format(value, spec)
