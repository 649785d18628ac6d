"""Weights for the user's own files by a trained model, generated or also fine-tuned, and written to files."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import coordinates, metrics
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.files.weights import check_foldable, check_format, weight_files, write_weights
from hyperinr.files.weights import fold_omega as fold
from hyperinr.fitting import FitResult
from hyperinr.kinds import Kind
from hyperinr.model import Model
from hyperinr.own_files import tiling
from hyperinr.own_files.model_signals import Prepared, kind_for, prepare, read_for
from hyperinr.runtime.files import check_writable_folder
from hyperinr.runtime.outputs import check_outputs
from hyperinr.types import Datapoint

__all__ = [
    'FileResult',
    'finetune_files',
    'fit_tiles',
    'generate_files',
    'name_of',
    'print_results',
    'psnr_of',
    'write_signal',
]

CHUNK = 64
"""Tiles that are fitted together. It bounds the memory of a large signal and the number of compiled shapes."""


class FileResult(NamedTuple):
    """The outcome for one file.

    Attributes:
      source: the file of the signal.
      weights: the file of weights.
      reconstruction: the reconstruction as a file of the signal's kind; with the samples of the signal if it is tiled,
        else with those of the model's grid; ``None`` where the kind cannot hold it.
      num_inrs: 1, or the number of tiles.
      steps: step counts of ``psnr_db``, from the hypernetwork's raw output on.
      psnr_db: PSNR over all samples of the tiles at ``steps``; over those of the resampled signal if it is not tiled.
      notes: conversions of the signal when it was read.
    """

    source: Path
    weights: Path
    reconstruction: Path | None
    num_inrs: int
    steps: tuple[int, ...]
    psnr_db: tuple[float, ...]
    notes: tuple[str, ...]


@checked
def generate_files(
    model: Model,
    files: Sequence[str | os.PathLike],
    *,
    out: str | os.PathLike,
    format: str = 'npz',
    kind: str | None = None,
    tile: bool = False,
    overlap: int = 0,
    fold_omega: bool = False,
    data_range: tuple[float, float] | None = None,
    variables: Sequence[str] | None = None,
    frame: int | None = None,
) -> list[FileResult]:
    """Generate weights for each file; write ``out/NAME.FORMAT``, and the reconstruction as a file of the same kind.

    All files are read once before anything is written. Each output is written under a temporary name and then renamed.

    Args:
      model: a model of signals over as many coordinates, with as many channels.
      files: files of a kind in `hyperinr.kinds.KINDS`, of any size.
      out: folder; made if it does not exist.
      format: one of `FORMATS`.
      kind: name of the files' kind; ``None``: that of the model's data, or by the suffix of each file.
      tile: cut the signal into tiles of the model's size, with one INR for each; see `model_signals.prepare`.
      overlap: samples that neighbouring tiles share along each axis; there the reconstruction is a weighted mean.
      fold_omega: fold omega_0 into the weights.
      data_range: values of the files that become the ends of their range, see `hyperinr.kinds.base.Read`. The metadata
        of the weights state it as ``file_range``, in ``signal``.
      variables, frame: of fields, see `hyperinr.kinds.field.read_field`; ``None``: all variables, the first frame.

    Returns:
      A `FileResult` for each file.

    Raises:
      InputError: a file is missing, is no such signal, or has the same output as another; a wrong format; no
        permission; an output would replace a file that hyperinr did not write.
      RunError: the disk is full.
    """
    results = finetune_files(
        model,
        files,
        out=out,
        num_steps=model.learner.num_steps,
        format=format,
        kind=kind,
        tile=tile,
        overlap=overlap,
        fold_omega=fold_omega,
        data_range=data_range,
        variables=variables,
        frame=frame,
    )
    return [result._replace(steps=result.steps[-1:], psnr_db=result.psnr_db[-1:]) for result in results]


@checked
def finetune_files(
    model: Model,
    files: Sequence[str | os.PathLike],
    *,
    out: str | os.PathLike,
    num_steps: int = 100,
    format: str = 'npz',
    kind: str | None = None,
    tile: bool = False,
    overlap: int = 0,
    fold_omega: bool = False,
    data_range: tuple[float, float] | None = None,
    variables: Sequence[str] | None = None,
    frame: int | None = None,
) -> list[FileResult]:
    """Generate weights for each file, fine-tune them, and write the files of `generate_files`.

    Args:
      model, files, out, format, kind, tile, overlap, fold_omega, data_range, variables, frame: as for
        `generate_files`.
      num_steps: steps of fine-tuning, the learner's adaptation steps included, >= 0.

    Returns:
      A `FileResult` for each file, with the PSNR after 0, 1, ... ``num_steps`` steps.

    Raises:
      InputError, RunError: see `generate_files`; or ``num_steps`` is below 0.
    """
    if num_steps < 0:
        raise InputError(f'num_steps is {num_steps}; it must be 0 or more.')
    check_format(format)
    if not files:
        raise InputError('no files given.')
    if fold_omega:
        check_foldable(model.inr.metadata)
    options = {'data_range': data_range, 'variables': variables, 'frame': frame}
    sources: dict[str, tuple[Path, Kind]] = {}
    for file in map(Path, files):
        found = kind_for(model, file, kind)
        name = name_of(file, found)
        if name in sources:
            raise InputError(
                f'{sources[name][0]} and {file} would both be written to {name}.{format}; rename one, or give '
                'them in two calls with two output folders.'
            )
        sources[name] = file, found
        prepare(model, read_for(model, file, found, options), tile=tile, overlap=overlap)
    folder = Path(out)
    for name, (file, found) in sources.items():
        if file.resolve() == (folder / f'{name}{found.written}').resolve():
            raise InputError(f'the reconstruction of {file} would overwrite it; choose another output folder.')
        check_outputs([folder / f'{name}{found.written}', *weight_files(folder / f'{name}.{format}')])
    check_writable_folder(folder)
    results = []
    for name, (file, found) in sources.items():
        signal = read_for(model, file, found, options)
        prepared = prepare(model, signal, tile=tile, overlap=overlap)
        result, values = fit_tiles(model, prepared, num_steps)
        mse = np.average(result.mse, axis=0, weights=prepared.datapoints.weight.sum(axis=1))
        psnr_db = psnr_of(mse, model.spec.data_range)
        weights = jax.tree.map(lambda leaf: leaf[0], result.weights) if prepared.grid is None else result.weights
        metadata: dict[str, Any] = {
            **model.inr.metadata,
            'coordinates': coordinates.described(prepared.tile, model.spec.layout),
            'data_range': list(model.spec.data_range),
            'grid_shape': list(prepared.tile or prepared.shape),
            'signal': {'kind': found.name, 'shape': list(signal.values.shape), **signal.metadata},
            'source': str(file),
            'model': dict(model.metadata),
            'finetuning_steps': num_steps,
            'psnr_db': psnr_db[-1],
        }
        if prepared.grid is not None:
            metadata |= {'tile_grid': list(prepared.grid), 'tile_overlap': prepared.overlap}
        if fold_omega:
            weights, metadata = fold(weights, metadata)
        path, rebuilt = folder / f'{name}.{format}', folder / f'{name}{found.written}'
        write_weights(path, weights, metadata)
        problem = write_signal(found, rebuilt, values, {**signal.metadata, 'data_range': model.spec.data_range})
        notes = (*signal.notes, *prepared.notes, *filter(None, [problem]))
        steps, number = tuple(range(num_steps + 1)), len(prepared.datapoints.values)
        results.append(FileResult(file, path, None if problem else rebuilt, number, steps, tuple(psnr_db), notes))
    return results


def print_results(results: Sequence[FileResult]) -> None:
    """Print the PSNR at some steps, the paths of the files, and the conversions."""
    from rich.console import Console
    from rich.table import Table

    steps = results[0].steps if results else ()
    shown = [step for step in steps if step in (0, 1, 3, 10, 30, 100, 300, 1000) or step == steps[-1]]
    table = Table('file', 'INRs', *(f'{step} steps' for step in shown))
    for result in results:
        psnr = [f'{result.psnr_db[result.steps.index(step)]:.1f} dB' for step in shown]
        table.add_row(result.source.name, str(result.num_inrs), *psnr)
    Console(markup=False).print(table)
    for result in results:
        print(f'{result.source} -> {result.weights} {result.reconstruction or ""}'.rstrip())
        for note in result.notes:
            print(f'{result.source}: {note}')


def write_signal(kind: Kind, path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> str | None:
    """Write a reconstruction; return why not where its kind cannot hold it, such as a shape without a surface."""
    try:
        kind.write(path, values, metadata)
    except InputError as error:
        return f'no reconstruction: {error}'
    return None


def name_of(file: Path, kind: Kind) -> str:
    """Return the name of a file without the suffix of its kind, ``'ch2'`` of ``'ch2.nii.gz'``."""
    ends = [suffix for suffix in kind.suffixes if file.name.lower().endswith(suffix)]
    return file.name[: -len(max(ends, key=len))] if ends else file.stem


def psnr_of(mse: np.ndarray, data_range: tuple[float, float]) -> list[float]:
    """Convert mean squared errors ``[n]`` to PSNR in dB."""
    return np.asarray(metrics.psnr_from_mse(mse, data_range)).tolist()


def fit_tiles(model: Model, prepared: Prepared, num_steps: int) -> tuple[FitResult, np.ndarray]:
    """Fit tiles in chunks; return weights and errors with leaves ``[T, ...]``, and the reconstruction ``[*shape, C]``.

    The chunks have one or two sizes. Tiles that fill up the last one are left out again.
    """
    points = prepared.datapoints
    total = len(points.values)
    size = min(CHUNK, 2 ** math.ceil(math.log2(total)))
    results, values = [], []
    for start in range(0, total, size):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        coords = np.broadcast_to(points.coords, (size, *points.coords.shape[1:]))
        chunk = Datapoint(coords, points.values[rows], points.weight[rows], points.index[rows])
        fitted = model.finetune(chunk, num_steps=num_steps)
        results.append(jax.tree.map(np.asarray, fitted))
        if prepared.tile is None:
            tree = jax.tree.map(lambda leaf: leaf[0], fitted.weights)
            values.append(np.asarray(model.inr.apply(tree, points.coords[0]))[None])
        else:
            values.append(np.asarray(model.reconstruct(fitted.weights, prepared.tile)))
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *results)
    rebuilt = np.concatenate(values)[:total]
    if prepared.grid is None:
        return joined, rebuilt.reshape(*prepared.shape, -1)
    return joined, tiling.stitch(rebuilt, prepared.grid, prepared.shape, prepared.overlap)
