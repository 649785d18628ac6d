"""Fit of one file of the user's by itself: weights, curve and reconstruction."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import coordinates, fitting, kinds
from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.arguments import check_least
from hyperinr.errors import InputError, RunError
from hyperinr.files.weights import check_format, torch_state_dict, weight_files, write_weights
from hyperinr.fitting import optimizers, rate_range
from hyperinr.fitting.freezing import frozen
from hyperinr.inrs.initialisation import in_range
from hyperinr.kinds import Signal
from hyperinr.kinds.resampling import resample
from hyperinr.model import MOST_POINTS, on_grid
from hyperinr.own_files.generation import name_of, psnr_of
from hyperinr.runtime.files import check_writable_folder, plain
from hyperinr.runtime.outputs import check_outputs, write_json_output
from hyperinr.runtime.progress import ProgressReport
from hyperinr.types import Array, Datapoint, Inr, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['SingleFit', 'fit_file']

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
    """The outcome for one file.

    Attributes:
      weights: the file of weights.
      reconstruction: the reconstruction, as a file of the signal's kind.
      curve: a JSON file with ``mse`` and ``psnr_db`` after 0, 1, ... steps, the points that they are ``measured_on``,
        and the settings of the fit.
      psnr_db: ``[num_steps + 1]``.
      rate: learning rate.
      best_step: the step after which the weights were reached: the last one, or that of least error.
      kept_psnr_db: PSNR of the weights over all points.
      notes: conversions of the signal when it was read, and whether the fit got worse.
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
def fit_file(
    inr: Callable[..., Inr],
    file: str | os.PathLike,
    *,
    out: str | os.PathLike,
    kind: str | None = None,
    channels: int | None = None,
    start: Callable[[Inr, Signal], InrWeights] | None = None,
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
    """Fit one file; write ``NAME.FORMAT``, the reconstruction and ``NAME.curve.json`` into a folder.

    Where the fit gets worse, the state of least error is kept, and a note says so. If a step does not see all points,
    the error of the curve is that of a fixed part of them, and so is the error that the search for a rate compares.

    Args:
      inr: ``(channels=) -> Inr``. Its output bias, of the range [0, 1], is mapped to the signal's range.
      file: a file of a kind in `hyperinr.kinds.KINDS`.
      out: folder; made if it does not exist.
      kind: name of the kind; ``None``: by the suffix.
      channels: channels that the signal is read with; ``None``: those of the file.
      start: ``(inr, signal) ->`` weights, unbatched; ``None``: ``inr.init`` with ``seed``.
      optimizer: one of `fitting.optimizers.OPTIMIZERS`.
      rate: learning rate. ``'search'``: `fitting.best_rate` with short fits of this signal. ``'range'``: a range test;
        its curve is saved as ``NAME.rates.json``.
      num_steps: >= 1.
      freeze: path patterns of the weights that keep the values of the start, see `fitting.freezing`.
      longest_side: resample the signal so that its longest axis has this many samples; ``None``: do not resample.
      points_per_step: points that each step draws, >= 1; ``None``: all, unless they need more memory than
        `FULL_STEP_BYTES`.
      seed: seed of the start and of the draws, >= 0.
      quiet: print neither the points of a step nor progress.
      format: one of `FORMATS`.
      about: further metadata of the weights.
      data_range: values of the file that become the ends of its range, see `hyperinr.kinds.base.Read`; stated as
        ``file_range`` in the metadata, in ``signal``.

    Raises:
      InputError: a value outside its range, a file that cannot be read, or an output that would overwrite the file or
        another file that hyperinr did not write.
      RunError: the fit diverged before its error fell, or the disk is full.
    """
    check_format(format)
    check_least(num_steps=(num_steps, 1), seed=(seed, 0), longest_side=(longest_side, 2))
    if points_per_step is not None and points_per_step < 1:
        raise InputError(f'points_per_step must be at least 1, or left out for all points, not {points_per_step}.')
    if rate not in ('search', 'range') and not (isinstance(rate, float | int) and 0 < rate < float('inf')):
        raise InputError(f"the rate must be positive and finite, 'search' or 'range', not {rate!r}.")
    inr(channels=channels or 1)  # What it refuses is said before the file is read.
    file = Path(file)
    found = kinds.kind_of(file, kind)
    signal = found.read(file, channels=channels, data_range=data_range)
    if longest_side is not None:
        signal = _resampled(signal, longest_side)
    notes = [*signal.notes]
    made = in_range(inr(channels=signal.values.shape[-1]), signal.data_range)
    datapoint = signal.datapoint()
    weights = made.init(jax.random.key(seed), signal.coord_dims) if start is None else start(made, signal)
    spec = weights_lib.spec_of(weights)
    family = optimizers.family(optimizer, spec, wrap=lambda inner: frozen(inner, freeze, spec))
    if format == 'pt':
        torch_state_dict(weights)
    folder = Path(out)
    name = name_of(file, found)
    rebuilt_path, path = folder / f'{name}{found.written}', folder / f'{name}.{format}'
    curve, rates = folder / f'{name}.curve.json', folder / f'{name}.rates.json'
    if rebuilt_path == path:
        raise InputError(f'{path} would be both the weights and the reconstruction; choose another --format.')
    if file.resolve() in (rebuilt_path.resolve(), path.resolve()):
        raise InputError(f'the result would overwrite {file}; choose another output folder.')
    check_outputs([rebuilt_path, *weight_files(path), curve, *([rates] if rate == 'range' else [])])
    check_writable_folder(folder)
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, datapoint))
    points = _points_of_step(points_per_step, made, spec, *datapoint.coords.shape)
    with _Progress(num_steps, quiet, signal.data_range) as progress:
        progress.say(points.sentence)
        if isinstance(rate, str):
            some, steps = _some_points(batch, points.drawn), min(num_steps, SEARCH_STEPS)
            if points.drawn >= SLOW_POINTS:
                progress.say(f'searching the learning rate by short fits of {points.drawn} points')
            if rate == 'range':
                tested = rate_range.rate_range(made, starts, some, make=family.make)
                write_json_output(rates, plain(tested._asdict()))
                rate = tested.rate
            else:
                rate = fitting.best_rate(
                    made, starts, some, num_steps=steps, data_range=signal.data_range, families={optimizer: family}
                ).rate
        fitted = fitting.fit(
            made,
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
    psnr = psnr_of(mse, signal.data_range)
    if best_step < num_steps:
        last = f'the last was {psnr[-1]:.2f}' if np.isfinite(mse[-1]) else 'then it diverged'
        notes.append(
            f'got worse after step {best_step} of {num_steps}: the state at step {best_step} is kept '
            f'({psnr[best_step]:.2f} dB; {last})'
        )
    del batch, datapoint
    rebuilt = _evaluated(made, fitted_weights, signal)
    kept_psnr = psnr[best_step] if points.subsampling is None else _psnr_between(signal, rebuilt)
    details = {
        'source': str(file),
        'grid_shape': list(signal.grid_shape),
        'data_range': list(signal.data_range),
        'signal': {'kind': found.name, 'shape': list(signal.values.shape), **signal.metadata},
        'coordinates': coordinates.described(None if signal.coords is not None else signal.grid_shape, signal.layout),
        'optimizer': optimizer,
        'rate': float(rate),
        'num_steps': num_steps,
        'best_step': best_step,
        'points_per_step': points.drawn,
        'frozen': list(freeze),
        'seed': seed,
        **(about or {}),
    }
    write_weights(path, fitted_weights, {**made.metadata, **details, 'psnr_db': kept_psnr})
    found.write(rebuilt_path, rebuilt, {**signal.metadata, 'data_range': signal.data_range})
    about_curve = {'measured_on': points.measured_on, 'mse': mse, 'psnr_db': psnr, 'kept_psnr_db': kept_psnr}
    write_json_output(curve, plain({**details, 'inr': dict(made.metadata), **about_curve}))
    return SingleFit(path, rebuilt_path, curve, np.asarray(psnr), float(rate), best_step, kept_psnr, tuple(notes))


class _Points(NamedTuple):
    """The points of a step: their number, the rule that draws them, a sentence, and what the curve is measured on."""

    drawn: int
    subsampling: fitting.Subsampling | None
    sentence: str
    measured_on: str


def _points_of_step(asked: int | None, inr: Inr, spec: WeightSpec, total: int, coord_dims: int) -> _Points:
    """Choose the points of a step: as many as asked for, else all while their activations fit."""
    if asked is None:
        affordable = int(FULL_STEP_BYTES // fitting.bytes_kept_per_point(inr.apply, spec, coord_dims))
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


def _resampled(signal: Signal, longest: int) -> Signal:
    """Resample a signal so that its longest axis has ``longest`` samples."""
    if signal.coords is not None or signal.weight is not None or signal.layout != coordinates.PIXEL_CENTRES:
        raise InputError(
            'a signal with coordinates or weights of its own cannot be resampled; leave --longest-side out.'
        )
    shape = [max(1, round(side * longest / max(signal.grid_shape))) for side in signal.grid_shape]
    return signal._replace(values=resample(signal.values, shape))


def _evaluated(inr: Inr, weights: InrWeights, signal: Signal) -> np.ndarray:
    """Return an INR's values at the samples of a signal, ``[*grid, C]``, computed in pieces."""
    apply, rebuilt = jax.jit(inr.apply), np.empty(signal.values.shape, np.float32)
    rows, done = rebuilt.reshape(-1, signal.values.shape[-1]), 0
    if signal.coords is None:
        pieces = on_grid(lambda coords: apply(weights, coords), signal.grid_shape, signal.layout)
    else:
        coords = signal.coords.reshape(-1, signal.coord_dims)
        pieces = (apply(weights, coords[at : at + MOST_POINTS]) for at in range(0, len(coords), MOST_POINTS))
    for values in pieces:
        rows[done : done + len(values)] = values
        done += len(values)
    return rebuilt


def _psnr_between(signal: Signal, rebuilt: np.ndarray) -> float:
    """Return the PSNR over all values, summed along the first axis."""
    weight = np.ones(signal.grid_shape, np.float32) if signal.weight is None else signal.weight
    squares = total = 0.0
    for row, values, counts in zip(rebuilt, signal.values, weight, strict=True):
        error = np.where(counts[..., None] > 0, row - values, 0)
        squares += float(np.sum(counts[..., None] * error**2, dtype=np.float64))
        total += float(np.sum(counts, dtype=np.float64)) * values.shape[-1]
    return psnr_of(np.asarray([squares / total]), signal.data_range)[0]


class _Progress(ProgressReport):
    """The progress of one fit: a bar on a terminal, else a line every `LINE_SECONDS` of a slow fit."""

    def __init__(self, num_steps: int, quiet: bool, data_range: tuple[float, float]):
        super().__init__(start=0, total=num_steps, quiet=quiet, task='fitting')
        self._data_range = data_range
        self._reported: tuple[int, float] | None = None

    def on_pass(self, step: Array, mse: Array) -> None:
        """Show the progress; called by the fit."""
        now, before = time.monotonic(), self._reported
        if before is None:
            self._reported = 0, now
        elif self.has_bar or now - before[1] >= LINE_SECONDS:
            done = int(step)
            metrics = {'PSNR': psnr_of(np.asarray([mse]), self._data_range)[0]}
            self.report(done, step_seconds=(now - before[1]) / max(done - before[0], 1), metrics=metrics)
            self._reported = done, now
