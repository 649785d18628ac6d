"""Fit of one image of the user's by itself: weights, curve and reconstruction."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, RunError
from hyperinr.files.images import read_image, resize
from hyperinr.files.weights import check_format, torch_state_dict, write_weights
from hyperinr.fitting import optimizers, rate_range
from hyperinr.fitting.freezing import frozen
from hyperinr.own_files.generation import COORDINATES, image_datapoint, psnr_of, write_png
from hyperinr.runtime.files import check_writable_folder, plain, write_json
from hyperinr.types import Inr, InrWeights

__all__ = ['SingleFit', 'fit_image']

DATA_RANGE = (0.0, 1.0)
SEARCH_STEPS = 100
"""Most steps of one trial in the search for a learning rate; there are eight or more trials."""


class SingleFit(NamedTuple):
    """The outcome for one image.

    Attributes:
      weights: the file of weights.
      reconstruction: a PNG of the reconstruction.
      curve: a JSON file with ``mse`` and ``psnr_db`` after 0, 1, ... steps, and the settings of the fit.
      psnr_db: ``[num_steps + 1]``.
      rate: learning rate.
      notes: conversions of the image when it was read.
    """

    weights: Path
    reconstruction: Path
    curve: Path
    psnr_db: np.ndarray
    rate: float
    notes: tuple[str, ...]


def fit_image(
    inr: Inr,
    file: str | os.PathLike,
    *,
    out: str | os.PathLike,
    start: Callable[[Inr, np.ndarray], InrWeights] | None = None,
    optimizer: str = 'adam',
    rate: float | str = 'search',
    num_steps: int = 500,
    freeze: Sequence[str] = (),
    longest_side: int | None = None,
    seed: int = 0,
    format: str = 'npz',
    about: dict[str, Any] | None = None,
    data_range: tuple[float, float] | None = None,
) -> SingleFit:
    """Fit one image and write ``NAME.FORMAT``, ``NAME.png`` and ``NAME.curve.json`` into a folder.

    Args:
      inr: the INR; the image is read with its number of channels.
      file: an image file, of the kinds of `read_image`.
      out: folder; made if it does not exist.
      start: ``(inr, image [H, W, C]) ->`` weights, unbatched; ``None``: ``inr.init`` with ``seed``.
      optimizer: one of `fitting.optimizers.OPTIMIZERS`.
      rate: learning rate. ``'search'``: `fitting.best_rate` with short fits of this image. ``'range'``: a range test;
        its curve is saved as ``NAME.rates.json``.
      num_steps: >= 1.
      freeze: path patterns of the weights that keep the values of the start, see `fitting.freezing`.
      longest_side: resample the image so that its longest side has this many pixels; ``None``: do not resample.
      seed: seed of the start, >= 0.
      format: one of `FORMATS`.
      about: further metadata of the weights.
      data_range: values of the file that become 0 and 1, see `read_image`; stated as ``file_range`` in the metadata.

    Raises:
      InputError: a value outside its range, a file that cannot be read, or an output that would overwrite the image.
      RunError: the fit diverged, or the disk is full.
    """
    check_format(format)
    if num_steps < 1 or seed < 0 or (longest_side is not None and longest_side < 2):
        raise InputError(f'must be at least 1, 0 and 2: {num_steps=}, {seed=}, {longest_side=}.')
    if rate not in ('search', 'range') and not (isinstance(rate, float | int) and 0 < rate < float('inf')):
        raise InputError(f"the rate must be positive and finite, 'search' or 'range', not {rate!r}.")
    file = Path(file)
    read = read_image(file, inr.metadata['channels'], data_range)
    image = read.image
    if longest_side is not None:
        shape = [max(1, round(side * longest_side / max(image.shape[:2]))) for side in image.shape[:2]]
        image = resize(image, (shape[0], shape[1]))
    datapoint = image_datapoint(image, DATA_RANGE)
    weights = inr.init(jax.random.key(seed), 2) if start is None else start(inr, image)
    spec = weights_lib.spec_of(weights)
    family = optimizers.family(optimizer, spec, wrap=lambda inner: frozen(inner, freeze, spec))
    if format == 'pt':
        torch_state_dict(weights)
    folder = check_writable_folder(out)
    picture, path = folder / f'{file.stem}.png', folder / f'{file.stem}.{format}'
    if file.resolve() in (picture.resolve(), path.resolve()):
        raise InputError(f'the result would overwrite {file}; choose another output folder.')
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, datapoint))
    if rate == 'range':
        found = rate_range.rate_range(inr, starts, batch, make=family.make)
        write_json(folder / f'{file.stem}.rates.json', plain(found._asdict()))
        rate = found.rate
    elif rate == 'search':
        steps = min(num_steps, SEARCH_STEPS)
        rate = fitting.best_rate(
            inr, starts, batch, num_steps=steps, data_range=DATA_RANGE, families={optimizer: family}
        ).rate
    fitted = fitting.fit(inr, starts, batch, optimizer=family.make(float(rate)), num_steps=num_steps)
    mse = np.asarray(fitted.mse[0], np.float64)
    if not np.isfinite(mse[-1]):
        raise RunError(f'the fit of {file} diverged at a learning rate of {rate:.3g}; give a lower --rate.')
    fitted_weights = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fitted.weights)
    psnr = psnr_of(mse, DATA_RANGE)
    details = {
        'source': str(file),
        'grid_shape': list(image.shape[:2]),
        'data_range': list(DATA_RANGE),
        'file_range': list(read.values.range),
        'coordinates': COORDINATES,
        'optimizer': optimizer,
        'rate': float(rate),
        'num_steps': num_steps,
        'frozen': list(freeze),
        'seed': seed,
        **(about or {}),
    }
    write_weights(path, fitted_weights, {**inr.metadata, **details, 'psnr_db': psnr[-1]})
    rebuilt = np.asarray(jax.jit(inr.apply)(fitted_weights, datapoint.coords)).reshape(image.shape)
    write_png(picture, rebuilt, DATA_RANGE)
    curve = folder / f'{file.stem}.curve.json'
    write_json(curve, {**details, 'inr': dict(inr.metadata), 'mse': mse.tolist(), 'psnr_db': psnr})
    return SingleFit(path, picture, curve, np.asarray(psnr), float(rate), tuple(read.notes))
