"""Weights for the user's own images by a trained model, generated or also fine-tuned, and written to files."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import coordinates, metrics
from hyperinr.annotations import checked
from hyperinr.datasets.base import stack
from hyperinr.errors import InputError
from hyperinr.files.images import quantise, read_image, resize, write_picture
from hyperinr.files.weights import check_foldable, check_format, weight_files, write_weights
from hyperinr.files.weights import fold_omega as fold
from hyperinr.fitting import FitResult
from hyperinr.model import Model
from hyperinr.own_files import tiling
from hyperinr.runtime.files import check_writable_folder
from hyperinr.runtime.outputs import check_outputs
from hyperinr.types import Datapoint

__all__ = [
    'COORDINATES',
    'FileResult',
    'finetune_files',
    'generate_files',
    'image_datapoint',
    'model_grid',
    'print_results',
    'psnr_of',
    'write_png',
]

COORDINATES = 'pixel centres (2 i + 1) / n - 1 in [-1, 1], rows before columns, row-major'
"""Description of an image's coordinates in the metadata of its weights."""
CHUNK = 64
"""Tiles that are fitted together. It bounds the memory of a large image and the number of compiled shapes."""


class FileResult(NamedTuple):
    """The outcome for one image.

    Attributes:
      source: the image file.
      weights: the file of weights.
      reconstruction: a PNG of the reconstruction, at the image's own size if it is tiled, else at the model's.
      num_inrs: 1, or the number of tiles.
      steps: step counts of ``psnr_db``, from the hypernetwork's raw output on.
      psnr_db: PSNR over all points of the image at ``steps``; over the resampled image if it is not tiled.
      notes: conversions of the image when it was read.
    """

    source: Path
    weights: Path
    reconstruction: Path
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
    tile: bool = False,
    fold_omega: bool = False,
    data_range: tuple[float, float] | None = None,
) -> list[FileResult]:
    """Generate weights for each image; write them as ``out/NAME.FORMAT`` and their reconstruction as ``out/NAME.png``.

    All files are read once before anything is written. Each output is written under a temporary name and then renamed.

    Args:
      model: a model of images on a two-dimensional grid, or of scattered points in two dimensions. With scattered
        points, images are square with about the model's number of points.
      files: image files of any size, of the kinds of `read_image`.
      out: folder; made if it does not exist.
      format: one of `FORMATS`.
      tile: cut the image into patches of the model's size, with one INR for each. Otherwise the image is resampled to
        the model's grid with an anti-aliasing filter. This changes its aspect ratio; the INR can be evaluated at the
        original one.
      fold_omega: fold omega_0 into the weights.
      data_range: values of the files that become 0 and 1, see `read_image`. The metadata of the weights state the range
        as ``file_range``: its ends are at those of the metadata's ``data_range``.

    Returns:
      A `FileResult` for each file.

    Raises:
      InputError: a file is missing, is no image, or has the same output as another; a wrong format; no permission;
        an output would replace a file that hyperinr did not write.
      RunError: the disk is full.
    """
    num_steps = model.learner.num_steps
    results = finetune_files(
        model,
        files,
        out=out,
        num_steps=num_steps,
        format=format,
        tile=tile,
        fold_omega=fold_omega,
        data_range=data_range,
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
    tile: bool = False,
    fold_omega: bool = False,
    data_range: tuple[float, float] | None = None,
) -> list[FileResult]:
    """Generate weights for each image, fine-tune them, and write the files of `generate_files`.

    Args:
      model, files, out, format, tile, fold_omega, data_range: as for `generate_files`.
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
        raise InputError('no image files given.')
    if fold_omega:
        check_foldable(model.inr.metadata)
    shape = model_grid(model)
    outputs: dict[str, Path] = {}
    for file in map(Path, files):
        if file.stem in outputs:
            raise InputError(
                f'{outputs[file.stem]} and {file} would both be written to {file.stem}.{format}; rename one, or give '
                'them in two calls with two output folders.'
            )
        outputs[file.stem] = file
        read_image(file, model.spec.channels, data_range)
    folder = Path(out)
    for name, file in outputs.items():
        if file.resolve() == (folder / f'{name}.png').resolve():
            raise InputError(f'the reconstruction of {file} would overwrite it; choose another output folder.')
        check_outputs([folder / f'{name}.png', *weight_files(folder / f'{name}.{format}')])
    check_writable_folder(folder)
    results = []
    for name, file in outputs.items():
        read = read_image(file, model.spec.channels, data_range)
        image = read.image
        tiles = tiling.cut(image if tile else resize(image, shape), shape)
        result, reconstructions = _fit_tiles(model, tiles, num_steps)
        mse = np.average(result.mse, axis=0, weights=tiles.weight.sum(axis=(1, 2)))
        psnr_db = psnr_of(mse, model.spec.data_range)
        weights = result.weights if tile else jax.tree.map(lambda leaf: leaf[0], result.weights)
        metadata: dict[str, Any] = {
            **model.inr.metadata,
            'coordinates': COORDINATES,
            'data_range': list(model.spec.data_range),
            'file_range': list(read.values.range),
            'grid_shape': list(shape),
            'image_shape': list(image.shape),
            'source': str(file),
            'model': dict(model.metadata),
            'finetuning_steps': num_steps,
            'psnr_db': psnr_db[-1],
        }
        if tile:
            metadata['tile_grid'] = list(tiles.grid)
        if fold_omega:
            weights, metadata = fold(weights, metadata)
        path, picture = folder / f'{name}.{format}', folder / f'{name}.png'
        full_shape = image.shape[:2] if tile else shape
        write_png(picture, tiling.stitch(reconstructions, tiles.grid, full_shape), model.spec.data_range)
        write_weights(path, weights, metadata)
        steps = tuple(range(num_steps + 1))
        results.append(FileResult(file, path, picture, len(tiles.values), steps, tuple(psnr_db), tuple(read.notes)))
    return results


def print_results(results: Sequence[FileResult]) -> None:
    """Print the PSNR at some steps, the paths of the files, and the conversions."""
    from rich.console import Console
    from rich.table import Table

    steps = results[0].steps if results else ()
    shown = [step for step in steps if step in (0, 1, 3, 10, 30, 100, 300, 1000) or step == steps[-1]]
    table = Table('image', 'INRs', *(f'{step} steps' for step in shown))
    for result in results:
        psnr = [f'{result.psnr_db[result.steps.index(step)]:.1f} dB' for step in shown]
        table.add_row(result.source.name, str(result.num_inrs), *psnr)
    Console(markup=False).print(table)
    for result in results:
        print(f'{result.source} -> {result.weights} {result.reconstruction}')
        for note in result.notes:
            print(f'{result.source}: {note}')


def model_grid(model: Model) -> tuple[int, int]:
    """Return height and width of the images that a model takes; raise `InputError` if it takes no images."""
    spec = model.spec
    if spec.grid_shape is not None and len(spec.grid_shape) == 2:
        return spec.grid_shape[0], spec.grid_shape[1]
    if spec.grid_shape is None and spec.coord_dims == 2:
        side = max(1, math.isqrt(spec.num_points))
        return side, side
    raise InputError(f'this model takes signals over {spec.coord_dims} coordinates, not images.')


def image_datapoint(image: np.ndarray, data_range: tuple[float, float]) -> Datapoint:
    """Return an image ``[H, W, C]`` in [0, 1] as a datapoint of all its pixels, its values in ``data_range``."""
    low, high = data_range
    coords = coordinates.grid(image.shape[:2])
    values = image.reshape(len(coords), -1)
    values = values if (low, high) == (0, 1) else low + (high - low) * values  # No second copy of a large image.
    return Datapoint(coords, values, np.ones(len(coords), np.float32), np.zeros((), np.int32))


def psnr_of(mse: np.ndarray, data_range: tuple[float, float]) -> list[float]:
    """Convert mean squared errors ``[n]`` to PSNR in dB."""
    return np.asarray(metrics.psnr_from_mse(mse, data_range)).tolist()


def _fit_tiles(model: Model, tiles: tiling.Tiles, num_steps: int) -> tuple[FitResult, np.ndarray]:
    """Fit tiles in chunks; return weights and errors with leaves ``[T, ...]``, and reconstructions ``[T, h, w, C]``."""
    total, *shape = tiles.values.shape[:3]
    size = min(CHUNK, 2 ** math.ceil(math.log2(total)))
    results, pictures = [], []
    for start in range(0, total, size):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        datapoints = stack([image_datapoint(tiles.values[row], model.spec.data_range) for row in rows])
        weight = tiles.weight[rows].reshape(size, -1)
        datapoints = datapoints._replace(weight=weight, index=rows.astype(np.int32))
        fitted = model.finetune(datapoints, num_steps=num_steps)
        results.append(jax.tree.map(np.asarray, fitted))
        pictures.append(np.asarray(model.reconstruct(fitted.weights, shape)))
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *results)
    return joined, np.concatenate(pictures)[:total]


def write_png(path: Path, image: np.ndarray, data_range: tuple[float, float]) -> None:
    """Write an image ``[H, W, C]`` as 8-bit grey or RGB, clipped to the data range."""
    low, high = data_range
    write_picture(path, quantise(np.clip((image - low) / (high - low), 0, 1)))
