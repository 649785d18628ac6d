"""Fit of one image of the user's by itself: weights, curve and reconstruction."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.arguments import check_least
from hyperinr.errors import InputError, RunError
from hyperinr.files.images import read_image, resize
from hyperinr.files.weights import check_format, torch_state_dict, weight_files, write_weights
from hyperinr.fitting import optimizers, rate_range
from hyperinr.fitting.freezing import frozen
from hyperinr.model import on_grid
from hyperinr.own_files.generation import COORDINATES, image_datapoint, psnr_of, write_png
from hyperinr.runtime.files import check_writable_folder, plain
from hyperinr.runtime.outputs import check_outputs, write_json_output
from hyperinr.runtime.progress import ProgressReport
from hyperinr.types import Array, Datapoint, Inr, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['SingleFit', 'fit_image']

DATA_RANGE = (0.0, 1.0)
SEARCH_STEPS = 100
"""Most steps of one trial in the search for a learning rate; there are eight or more trials."""
FULL_STEP_BYTES = 2 * 2**30
"""What the backward pass of a step on all points may keep; beyond, a step draws points. It is fixed, because the same
command shall give the same weights on any machine."""
DRAWN_POINTS = 2**16
"""Points that a step then draws: enough to keep the cores busy."""
LEAST_MEASURED = 2**14
"""Least number of points that the error of such a fit is measured on: enough for a tenth of a dB."""
MEASURE_EVERY = 20
"""Steps between two of these measurements."""
SLOW_POINTS = 2**14
"""Points of a step from which on progress is shown: a step of the default SIREN takes 10 ms or more."""
LINE_SECONDS = 10.0
"""Least time between two lines of progress when the output is no terminal."""


class SingleFit(NamedTuple):
    """The outcome for one image.

    Attributes:
      weights: the file of weights.
      reconstruction: a PNG of the reconstruction.
      curve: a JSON file with ``mse`` and ``psnr_db`` after 0, 1, ... steps, the points that they are ``measured_on``,
        and the settings of the fit.
      psnr_db: ``[num_steps + 1]``.
      rate: learning rate.
      best_step: the step after which the weights were reached: the last one, or that of least error.
      kept_psnr_db: PSNR of the weights over all points.
      notes: conversions of the image when it was read, and whether the fit got worse.
    """

    weights: Path
    reconstruction: Path
    curve: Path
    psnr_db: np.ndarray
    rate: float
    best_step: int
    kept_psnr_db: float
    notes: tuple[str, ...]


@checked
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
    points_per_step: int | None = None,
    seed: int = 0,
    quiet: bool = True,
    format: str = 'npz',
    about: dict[str, Any] | None = None,
    data_range: tuple[float, float] | None = None,
) -> SingleFit:
    """Fit one image and write ``NAME.FORMAT``, ``NAME.png`` and ``NAME.curve.json`` into a folder.

    Where the fit gets worse, the state of least error is kept, and a note says so. If a step does not see all points,
    the error of the curve is that of a fixed part of them, and so is the error that the search for a rate compares.

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
      points_per_step: points that each step draws, >= 1; ``None``: all, unless they need more memory than
        `FULL_STEP_BYTES`.
      seed: seed of the start and of the draws, >= 0.
      quiet: print neither the points of a step nor progress.
      format: one of `FORMATS`.
      about: further metadata of the weights.
      data_range: values of the file that become 0 and 1, see `read_image`; stated as ``file_range`` in the metadata.

    Raises:
      InputError: a value outside its range, a file that cannot be read, or an output that would overwrite the image or
        another file that hyperinr did not write.
      RunError: the fit diverged before its error fell, or the disk is full.
    """
    check_format(format)
    check_least(num_steps=(num_steps, 1), seed=(seed, 0), longest_side=(longest_side, 2))
    if points_per_step is not None and points_per_step < 1:
        raise InputError(f'points_per_step must be at least 1, or left out for all points, not {points_per_step}.')
    if rate not in ('search', 'range') and not (isinstance(rate, float | int) and 0 < rate < float('inf')):
        raise InputError(f"the rate must be positive and finite, 'search' or 'range', not {rate!r}.")
    file = Path(file)
    read = read_image(file, inr.metadata['channels'], data_range)
    image, notes = read.image, [*read.notes]
    if longest_side is not None:
        shape = [max(1, round(side * longest_side / max(image.shape[:2]))) for side in image.shape[:2]]
        image = resize(image, (shape[0], shape[1]))
    datapoint = image_datapoint(image, DATA_RANGE)
    weights = inr.init(jax.random.key(seed), 2) if start is None else start(inr, image)
    spec = weights_lib.spec_of(weights)
    family = optimizers.family(optimizer, spec, wrap=lambda inner: frozen(inner, freeze, spec))
    if format == 'pt':
        torch_state_dict(weights)
    folder = Path(out)
    picture, path = folder / f'{file.stem}.png', folder / f'{file.stem}.{format}'
    curve, rates = folder / f'{file.stem}.curve.json', folder / f'{file.stem}.rates.json'
    if file.resolve() in (picture.resolve(), path.resolve()):
        raise InputError(f'the result would overwrite {file}; choose another output folder.')
    check_outputs([picture, *weight_files(path), curve, *([rates] if rate == 'range' else [])])
    check_writable_folder(folder)
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, datapoint))
    points = _points_of_step(points_per_step, inr, spec, len(datapoint.coords))
    with _Progress(num_steps, quiet) as progress:
        progress.say(points.sentence)
        if isinstance(rate, str):
            some, steps = _some_points(batch, points.drawn), min(num_steps, SEARCH_STEPS)
            if points.drawn >= SLOW_POINTS:
                progress.say(f'searching the learning rate by short fits of {points.drawn} points')
            if rate == 'range':
                found = rate_range.rate_range(inr, starts, some, make=family.make)
                write_json_output(rates, plain(found._asdict()))
                rate = found.rate
            else:
                rate = fitting.best_rate(
                    inr, starts, some, num_steps=steps, data_range=DATA_RANGE, families={optimizer: family}
                ).rate
        fitted = fitting.fit(
            inr,
            starts,
            batch,
            optimizer=family.make(float(rate)),
            num_steps=num_steps,
            subsampling=points.subsampling,
            seed=seed,
            keep_best=True,
            on_pass=progress.on_pass if points.drawn >= SLOW_POINTS else None,
        )
        jax.effects_barrier()
    mse, best_step = np.asarray(fitted.mse[0], np.float64), int(fitted.best_step[0])
    if not np.isfinite(mse[-1]) and best_step == 0:
        raise RunError(f'the fit of {file} diverged at a learning rate of {rate:.3g}; give a lower --rate.')
    fitted_weights = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fitted.weights)
    psnr = psnr_of(mse, DATA_RANGE)
    if best_step < num_steps:
        last = f'the last was {psnr[-1]:.2f}' if np.isfinite(mse[-1]) else 'then it diverged'
        notes.append(
            f'got worse after step {best_step} of {num_steps}: the state at step {best_step} is kept '
            f'({psnr[best_step]:.2f} dB; {last})'
        )
    del batch, datapoint
    rebuilt = np.empty((image.shape[0] * image.shape[1], image.shape[2]), np.float32)
    evaluate, done = jax.jit(inr.apply), 0
    for values in on_grid(lambda coords: evaluate(fitted_weights, coords), image.shape[:2]):
        rebuilt[done : done + len(values)] = values
        done += len(values)
    rebuilt = rebuilt.reshape(image.shape)
    kept_psnr = psnr[best_step] if points.subsampling is None else _psnr_between(image, rebuilt)
    details = {
        'source': str(file),
        'grid_shape': list(image.shape[:2]),
        'data_range': list(DATA_RANGE),
        'file_range': list(read.values.range),
        'coordinates': COORDINATES,
        'optimizer': optimizer,
        'rate': float(rate),
        'num_steps': num_steps,
        'best_step': best_step,
        'points_per_step': points.drawn,
        'frozen': list(freeze),
        'seed': seed,
        **(about or {}),
    }
    write_weights(path, fitted_weights, {**inr.metadata, **details, 'psnr_db': kept_psnr})
    write_png(picture, rebuilt, DATA_RANGE)
    about_curve = {'measured_on': points.measured_on, 'mse': mse, 'psnr_db': psnr, 'kept_psnr_db': kept_psnr}
    write_json_output(curve, plain({**details, 'inr': dict(inr.metadata), **about_curve}))
    return SingleFit(path, picture, curve, np.asarray(psnr), float(rate), best_step, kept_psnr, tuple(notes))


class _Points(NamedTuple):
    """The points of a step: their number, the rule that draws them, a sentence, and what the curve is measured on."""

    drawn: int
    subsampling: fitting.Subsampling | None
    sentence: str
    measured_on: str


def _points_of_step(asked: int | None, inr: Inr, spec: WeightSpec, total: int) -> _Points:
    """Choose the points of a step: as many as asked for, else all while their activations fit."""
    if asked is None:
        affordable = int(FULL_STEP_BYTES // fitting.bytes_kept_per_point(inr.apply, spec, 2))
        asked = total if total <= affordable else max(1, min(affordable, DRAWN_POINTS))
    if asked >= total:
        return _Points(total, None, f'each step sees all {total} points', 'all points')
    measured = min(total, max(asked, LEAST_MEASURED))
    rule = fitting.stratified(num_points=asked, num_measured=measured, full_pass_every=MEASURE_EVERY)
    whole = 'all' if measured == total else f'a fixed draw of {measured} of the {total}'
    measured_on = f'{whole} points, at every {MEASURE_EVERY}th step and the last'
    return _Points(asked, rule, f'each step draws {asked} of the {total} points; the curve is of {whole}', measured_on)


def _some_points(batch: Datapoint, number: int) -> Datapoint:
    """Return a batch of one datapoint with ``number`` of its points, the same ones in each call."""
    total = batch.weight.size
    if number == total:
        return batch
    rows = np.sort(np.random.default_rng(0).choice(total, number, replace=False, shuffle=False))
    coords, values, weight = (array[:, rows] for array in batch[:3])
    return batch._replace(coords=coords, values=values, weight=weight)


def _psnr_between(image: np.ndarray, rebuilt: np.ndarray) -> float:
    """Return the PSNR over all values, summed row by row of pixels."""
    squares = sum(float(np.sum((a - b) ** 2, dtype=np.float64)) for a, b in zip(image, rebuilt, strict=True))
    return psnr_of(np.asarray([squares / image.size]), DATA_RANGE)[0]


class _Progress(ProgressReport):
    """The progress of one fit: a bar on a terminal, else a line every `LINE_SECONDS` of a slow fit."""

    def __init__(self, num_steps: int, quiet: bool):
        super().__init__(start=0, total=num_steps, quiet=quiet, task='fitting')
        self._reported: tuple[int, float] | None = None

    def on_pass(self, step: Array, mse: Array) -> None:
        """Show the progress; called by the fit."""
        now, before = time.monotonic(), self._reported
        if before is None:
            self._reported = 0, now
        elif self.has_bar or now - before[1] >= LINE_SECONDS:
            done = int(step)
            metrics = {'PSNR': psnr_of(np.asarray([mse]), DATA_RANGE)[0]}
            self.report(done, step_seconds=(now - before[1]) / max(done - before[0], 1), metrics=metrics)
            self._reported = done, now
