"""Fit of one file of the user's by itself: weights, curve and reconstruction."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import coordinates, kinds
from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.arguments import check_least
from hyperinr.errors import InputError, RunError
from hyperinr.files.weights import check_format, torch_state_dict, weight_files, write_weights
from hyperinr.fitting import optimizers
from hyperinr.fitting.freezing import frozen
from hyperinr.fitting.large import evaluator
from hyperinr.inrs.initialisation import in_range
from hyperinr.kinds import Signal
from hyperinr.kinds.resampling import resampled
from hyperinr.model import on_grid
from hyperinr.own_files.generation import name_of, psnr_of, write_signal
from hyperinr.own_files.single_run import Rule, run
from hyperinr.own_files.sizes import points_of_step, siren_size, steps_of_fit
from hyperinr.runtime.files import check_writable_folder, plain
from hyperinr.runtime.outputs import check_outputs, write_json_output
from hyperinr.types import Inr, InrWeights

__all__ = ['SingleFit', 'fit_file']

NOTED_DB = 0.1
"""A smaller fall at the end is not worth a note: the error of drawn points swings so much."""


class SingleFit(NamedTuple):
    """The outcome for one file.

    Attributes:
      weights: the file of weights.
      reconstruction: the reconstruction, as a file of the signal's kind; ``None`` where the kind cannot hold it.
      curve: a JSON file with ``mse`` and ``psnr_db`` after 0, 1, ... steps, the points that they are ``measured_on``,
        and the settings of the fit.
      psnr_db: ``[num_steps + 1]``.
      rate: learning rate.
      best_step: the step after which the weights were reached: the last one, or that of least error.
      kept_psnr_db: PSNR of the weights over all points.
      notes: conversions of the signal when it was read, and whether the fit got worse.
    """

    weights: Path
    reconstruction: Path | None
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
    num_steps: int | None = None,
    freeze: Sequence[str] = (),
    longest_side: int | None = None,
    points_per_step: int | None = None,
    seed: int = 0,
    quiet: bool = True,
    format: str = 'npz',
    about: dict[str, Any] | None = None,
    data_range: tuple[float, float] | None = None,
    variables: Sequence[str] | None = None,
    frame: int | None = None,
    sized: bool = False,
) -> SingleFit:
    """Fit one file; write ``NAME.FORMAT``, the reconstruction and ``NAME.curve.json`` into a folder.

    Where the fit gets worse, the state of least error is kept, and a note says so. A fit of many points is saved now
    and then, as ``NAME.partial.npz``; the same call goes on from there. If a step does not see all points, the error of
    the curve is that of a fixed part of them, and so is the error that the search for a rate compares.

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
      num_steps: >= 1; ``None``: 500 where a step sees all points, else 5,000.
      freeze: path patterns of the weights that keep the values of the start, see `fitting.freezing`.
      longest_side: resample the signal so that its longest axis has this many samples; ``None``: do not resample.
      points_per_step: points that each step draws, >= 1; ``None``: all of at most 16,384, else 8,192. Where points are
        drawn, the rate falls to a hundredth along a half cosine.
      seed: seed of the start and of the draws, >= 0.
      quiet: print neither the points of a step nor progress.
      format: one of `FORMATS`.
      about: further metadata of the weights.
      data_range: values of the file that become the ends of its range, see `hyperinr.kinds.base.Read`; stated as
        ``file_range`` in the metadata, in ``signal``.
      variables, frame: of fields, see `hyperinr.kinds.field.read_field`; ``None``: all variables, the first frame.
      sized: call ``inr`` with the ``depth``, ``width``, ``omega_0`` and ``hidden_omega_0`` that `sizes.siren_size`
        chooses for the signal, which `hyperinr.inrs.siren` takes.

    Raises:
      InputError: a value outside its range, a file that cannot be read, or an output that would overwrite the file or
        another file that hyperinr did not write.
      RunError: the fit diverged before its error fell, or the disk is full.
      KeyboardInterrupt, InterruptedRunError: after a signal, when the state is saved.
    """
    check_format(format)
    check_least(num_steps=(num_steps, 1), seed=(seed, 0), longest_side=(longest_side, 2), channels=(channels, 1))
    if points_per_step is not None and points_per_step < 1:
        raise InputError(f'points_per_step must be at least 1, or left out for all points, not {points_per_step}.')
    if rate not in ('search', 'range') and not (isinstance(rate, float | int) and 0 < rate < float('inf')):
        raise InputError(f"the rate must be positive and finite, 'search' or 'range', not {rate!r}.")
    inr(channels=channels or 1)  # What it refuses is said before the file is read.
    file = Path(file)
    found = kinds.kind_of(file, kind)
    options = {'channels': channels, 'data_range': data_range, 'variables': variables, 'frame': frame}
    signal = kinds.read_signal(file, found, **options)
    if longest_side is not None:
        signal = _resampled(signal, longest_side, file)
    notes = [*signal.notes]
    channels, size = signal.values.shape[-1], siren_size(signal)._asdict() if sized else {}
    made = in_range(inr(channels=channels, **size), signal.data_range)
    weights = made.init(jax.random.key(seed), signal.coord_dims) if start is None else start(made, signal)
    spec = weights_lib.spec_of(weights)
    wrap = lambda inner: frozen(inner, freeze, spec)
    family = lambda schedule: optimizers.family(optimizer, spec, wrap=wrap, schedule=schedule)
    family(None)  # What it refuses is said before anything is written.
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
    points = points_of_step(points_per_step, math.prod(signal.grid_shape))
    num_steps = steps_of_fit(num_steps, points)
    rule = Rule(optimizer, family, rate, num_steps, points, seed)
    settings = {'inr': dict(made.metadata), 'frozen': list(freeze), 'about': about or {}}
    said = (_stated(made, signal),) if sized else ()
    fitted = run(made, weights, signal, rule, folder / name, settings, said=said, quiet=quiet)
    mse, best_step = fitted.mse, fitted.best_step
    if not np.isfinite(mse[-1]) and best_step == 0:
        raise RunError(f'the fit of {file} diverged at a learning rate of {fitted.rate:.3g}; give a lower --rate.')
    psnr = psnr_of(mse, signal.data_range)
    if not psnr[-1] >= psnr[best_step] - NOTED_DB:
        last = f'the last was {psnr[-1]:.2f}' if np.isfinite(mse[-1]) else 'then it diverged'
        notes.append(
            f'got worse after step {best_step} of {num_steps}: the state at step {best_step} is kept '
            f'({psnr[best_step]:.2f} dB; {last})'
        )
    rebuilt = _evaluated(made, fitted.weights, signal)
    kept_psnr = psnr[best_step] if points.sees_all else _psnr_between(signal, rebuilt)
    details = {
        'source': str(file),
        'grid_shape': list(signal.grid_shape),
        'data_range': list(signal.data_range),
        'signal': {'kind': found.name, 'shape': list(signal.values.shape), **signal.metadata},
        'coordinates': coordinates.described(None if signal.coords is not None else signal.grid_shape, signal.layout),
        'optimizer': optimizer,
        'rate': fitted.rate,
        'num_steps': num_steps,
        'best_step': best_step,
        'points_per_step': points.drawn,
        'inr_chosen': 'by the size of the signal' if sized else 'by the caller',
        'frozen': list(freeze),
        'seed': seed,
        **(about or {}),
    }
    write_weights(path, fitted.weights, {**made.metadata, **details, 'psnr_db': kept_psnr})
    about_curve = {'measured_on': points.measured_on, 'mse': mse, 'psnr_db': psnr, 'kept_psnr_db': kept_psnr}
    write_json_output(curve, plain({**details, 'inr': dict(made.metadata), **about_curve}))
    problem = write_signal(found, rebuilt_path, rebuilt, {**signal.metadata, 'data_range': signal.data_range})
    notes += [problem] if problem else []
    if fitted.partial is not None:
        fitted.partial.unlink(missing_ok=True)
    return SingleFit(
        path,
        None if problem else rebuilt_path,
        curve,
        np.asarray(psnr),
        fitted.rate,
        best_step,
        kept_psnr,
        tuple(notes),
    )


def _stated(inr: Inr, signal: Signal) -> str:
    """Return what is said of an INR that was chosen for a signal."""
    depth, width, omega = (inr.metadata[name] for name in ('depth', 'width', 'omega_0'))
    samples = ' x '.join(map(str, signal.grid_shape))
    return f'a SIREN with {depth} hidden layers of {width} and omega_0 {omega:g}, chosen for {samples} samples'


def _resampled(signal: Signal, longest: int, file: Path) -> Signal:
    """Resample a signal so that its longest axis has ``longest`` samples."""
    if signal.coords is not None or signal.weight is not None or signal.layout != coordinates.PIXEL_CENTRES:
        raise InputError(
            'fields on the sphere, and signals with missing values, are not resampled: leave --longest-side out, and '
            'give --points-per-step for a large one.'
        )
    shape = [max(1, round(side * longest / max(signal.grid_shape))) for side in signal.grid_shape]
    return signal._replace(values=resampled(signal.values, shape, file))


def _evaluated(inr: Inr, weights: InrWeights, signal: Signal) -> np.ndarray:
    """Return an INR's values at the samples of a signal, ``[*grid, C]``."""
    rebuilt = np.empty(signal.values.shape, np.float32)
    rows, done = rebuilt.reshape(-1, signal.values.shape[-1]), 0
    pieces = on_grid(evaluator(inr, weights), signal.grid_shape, signal.layout, signal.coords)
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
