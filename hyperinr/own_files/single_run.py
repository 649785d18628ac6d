"""The run of one fit: the points of a step, the learning rate, and a loop that can be stopped and goes on."""

import hashlib
import json
import signal as signals
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, InterruptedRunError
from hyperinr.files.tensors import read_tensors, write_tensors
from hyperinr.fitting import AtRate, Family, LargeSignal, LargeState, fit_large, rate_range
from hyperinr.kinds import Signal
from hyperinr.own_files.generation import psnr_of
from hyperinr.runtime.files import plain
from hyperinr.runtime.interruption import interruptible
from hyperinr.runtime.outputs import write_json_output
from hyperinr.runtime.progress import ProgressReport
from hyperinr.types import Datapoint, Inr, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['Fitted', 'Points', 'Rule', 'run']

PARTIAL = '.partial.npz'
"""End of the name of the file that a stopped fit goes on from."""
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
"""Points of a step from which on devices share them, progress is shown and states are saved: a step of the default
SIREN takes 10 ms or more."""
LINE_SECONDS = 10.0
"""Least time between two lines of progress when the output is no terminal."""
SAVE_SECONDS = 30.0
"""Least time between two saved states."""
NEEDS_MODEL = 'conjugate_gradient'
"""The optimiser that needs more than gradients."""


class Rule(NamedTuple):
    """How a fit takes its steps: arguments of `hyperinr.own_files.fit_file`, and the ``family`` of the optimiser."""

    optimizer: str
    family: Family
    rate: float | str
    num_steps: int
    points_per_step: int | None
    seed: int


class Points(NamedTuple):
    """The points of a step.

    Attributes:
      drawn: their number.
      measured: number of points that the curve is measured on.
      sees_all: whether these are all points.
      sentence: what is said of them.
      measured_on: what the curve is measured on.
    """

    drawn: int
    measured: int
    sees_all: bool
    sentence: str
    measured_on: str


class Fitted(NamedTuple):
    """The result of a run.

    Attributes:
      weights: of least measured error, unbatched leaves.
      mse: ``[num_steps + 1]`` float64; between two measurements, the last one.
      best_step: the step after which ``weights`` were reached.
      rate: learning rate.
      points: the points of a step.
      partial: file of its states, which is of no use once the result is written; ``None``: it has none.
    """

    weights: InrWeights
    mse: np.ndarray
    best_step: int
    rate: float
    points: Points
    partial: Path | None = None


def run(
    inr: Inr,
    weights: InrWeights,
    signal: Signal,
    rule: Rule,
    stem: Path,
    settings: Mapping[str, Any],
    *,
    quiet: bool,
) -> Fitted:
    """Fit an INR to a signal.

    Args:
      inr: evaluates the weights.
      weights: the start, unbatched leaves.
      signal: the signal.
      rule: how it is fitted.
      stem: path of the files of this fit, without their ends.
      settings: what else the result depends on, JSON-serialisable.
      quiet: print nothing.

    Raises:
      KeyboardInterrupt, InterruptedRunError: after a signal, when the state is saved.
      RunError: the disk is full.
    """
    spec, total = weights_lib.spec_of(weights), int(np.prod(signal.grid_shape))
    points = _points_of_step(rule.points_per_step, inr, spec, total, signal.coord_dims)
    large = LargeSignal(total, signal.at)
    with _Progress(rule.num_steps, quiet, signal.data_range) as progress:
        progress.say(points.sentence)
        if points.drawn < SLOW_POINTS or rule.optimizer == NEEDS_MODEL:
            rate = _rate(inr, weights, large, rule, points, signal.data_range, stem)
            return _fit(inr, weights, signal, rule, rate, points)
        partial = stem.with_name(f'{stem.name}{PARTIAL}')
        identity = _identity(signal, weights, rule, settings)
        state, rate = _saved(partial, identity, _like(rule, spec))
        if state is not None:
            progress.say(f'goes on from step {state.step} in {partial}')
        else:
            if isinstance(rule.rate, str):
                progress.say(f'searching the learning rate by short fits of {points.drawn} points')
            rate = _rate(inr, weights, large, rule, points, signal.data_range, stem)
        with interruptible() as interruption:
            states = fit_large(
                inr,
                weights,
                large,
                optimizer=AtRate(rule.family.make, rate),
                num_steps=rule.num_steps,
                num_points=points.drawn,
                num_measured=points.measured,
                measure_every=MEASURE_EVERY,
                seed=rule.seed,
                state=state,
                stops=lambda: interruption.signal is not None,
            )
            saved = time.monotonic()
            for state in states:
                stops = interruption.signal is not None and state.step < rule.num_steps
                if not stops:
                    progress.show(state.step, state.mse[state.step])
                if stops or time.monotonic() - saved >= SAVE_SECONDS:
                    _save(partial, identity, state, rate)
                    saved = time.monotonic()
                if stops:
                    stopped = KeyboardInterrupt if interruption.signal == signals.SIGINT else InterruptedRunError
                    raise stopped(f'interrupted: saved at step {state.step}; the same command goes on from there')
    assert state is not None
    mse = np.where(np.arange(rule.num_steps + 1) > state.step, state.mse[state.step], state.mse)
    best = jax.tree.map(np.asarray, weights_lib.unflatten(state.best, spec))
    return Fitted(best, mse, state.best_step, rate, points, partial)


def _like(rule: Rule, spec: WeightSpec) -> Any:
    """Return a state with shapes and types in place of arrays."""
    flat = jax.ShapeDtypeStruct((weights_lib.count(spec),), np.float32)
    errors = jax.ShapeDtypeStruct((rule.num_steps + 1,), np.float64)
    optimizer_state = jax.eval_shape(lambda flat: rule.family.make(1.0).init(flat), flat)
    return LargeState(0, flat, optimizer_state, errors, 0, flat)  # type: ignore[arg-type]


def _fit(inr: Inr, weights: InrWeights, signal: Signal, rule: Rule, rate: float, points: Points) -> Fitted:
    """Fit in one compiled loop."""
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, signal.datapoint()))
    drawn = {'num_points': points.drawn, 'num_measured': points.measured, 'full_pass_every': MEASURE_EVERY}
    fitted = fitting.fit(
        inr,
        starts,
        batch,
        optimizer=rule.family.make(rate),
        num_steps=rule.num_steps,
        subsampling=None if points.sees_all else fitting.stratified(**drawn),
        seed=rule.seed,
        keep_best=True,
    )
    tree = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fitted.weights)
    return Fitted(tree, np.asarray(fitted.mse[0], np.float64), int(fitted.best_step[0]), rate, points)


def _points_of_step(asked: int | None, inr: Inr, spec: WeightSpec, total: int, coord_dims: int) -> Points:
    """Choose the points of a step: as many as asked for, else all while their activations fit."""
    if asked is None:
        affordable = int(FULL_STEP_BYTES // fitting.bytes_kept_per_point(inr.apply, spec, coord_dims))
        asked = total if total <= affordable else max(1, min(affordable, DRAWN_POINTS))
    if asked >= total:
        return Points(total, total, True, f'each step sees all {total} points', 'all points')
    measured = min(total, max(asked, LEAST_MEASURED))
    whole = 'all' if measured == total else f'a fixed draw of {measured} of the {total}'
    sentence = f'each step draws {asked} of the {total} points; the curve is of {whole}'
    return Points(asked, measured, False, sentence, f'{whole} points, at every {MEASURE_EVERY}th step and the last')


def _rate(
    inr: Inr,
    weights: InrWeights,
    large: LargeSignal,
    rule: Rule,
    points: Points,
    data_range: tuple[float, float],
    stem: Path,
) -> float:
    """Return the learning rate: the given one, or the one found by short fits or a range test of some points."""
    if not isinstance(rule.rate, str):
        return float(rule.rate)
    total, number = large.num_points, points.drawn
    rows = np.arange(total)
    if number < total:
        rows = np.sort(np.random.default_rng(0).choice(total, number, replace=False, shuffle=False))
    some = Datapoint(*large.read(rows), np.zeros((), np.int32))
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, some))
    if rule.rate == 'range':
        found = rate_range.rate_range(inr, starts, batch, make=rule.family.make)
        write_json_output(stem.with_name(f'{stem.name}.rates.json'), plain(found._asdict()))
        return float(found.rate)
    steps = min(rule.num_steps, SEARCH_STEPS)
    families = {rule.optimizer: rule.family}
    return float(fitting.best_rate(inr, starts, batch, num_steps=steps, data_range=data_range, families=families).rate)


def _identity(signal: Signal, weights: InrWeights, rule: Rule, settings: Mapping[str, Any]) -> str:
    """Return a SHA-256, hexadecimal, of everything that the steps of a fit depend on."""
    about = [rule._replace(family=None), settings, signal.data_range, signal.layout]  # type: ignore[arg-type]
    digest = hashlib.sha256(json.dumps(about, default=str).encode())
    for array in (signal.values, signal.weight, signal.coords, *jax.tree.leaves(weights)):
        digest.update(b'none' if array is None else f'{array.dtype}{array.shape}'.encode())
        digest.update(b'' if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _save(path: Path, identity: str, state: LargeState, rate: float) -> None:
    leaves = enumerate(jax.tree.leaves(state.optimizer_state))
    tensors = {f'optimizer_{number}': np.asarray(leaf) for number, leaf in leaves}
    tensors |= {'flat': state.flat, 'best': state.best, 'mse': state.mse}
    about = {'identity': identity, 'step': state.step, 'best_step': state.best_step, 'rate': rate}
    write_tensors(path, tensors, about, format='npz')


def _saved(path: Path, identity: str, like: Any) -> tuple[LargeState | None, float]:
    """Return the saved state and rate of this fit; ``None`` if there is none.

    Args:
      path: its file.
      identity: of this fit.
      like: shapes and types of a state.

    Raises:
      InputError: the file holds the state of another fit, which would be lost, or is damaged.
    """
    if not path.exists():
        return None, 0.0
    go_on = 'delete it to begin anew, or give another --out'
    try:
        tensors, about = read_tensors(path, format='npz')
        other = about['identity'] != identity
        leaves, structure = jax.tree.flatten(like.optimizer_state)
        found = [tensors[f'optimizer_{number}'] for number in range(len(leaves))]
        step, best_step, rate = int(about['step']), int(about['best_step']), float(about['rate'])
        arrays = {name: tensors[name] for name in ('flat', 'mse', 'best')}
    except (InputError, KeyError, TypeError, ValueError, OverflowError):
        raise InputError(f'{path} is no state of a fit that was stopped, or is damaged: {go_on}.') from None
    if other:
        raise InputError(f'{path} is the state of a fit of another signal or with other settings: {go_on}.')
    expected = [*leaves, like.flat, like.mse, like.best]
    right = [(leaf.shape, leaf.dtype) for leaf in expected] == [
        (leaf.shape, leaf.dtype) for leaf in [*found, *arrays.values()]
    ]
    if not (right and 0 <= best_step <= step < len(like.mse) and rate > 0 and np.isfinite(arrays['flat']).all()):
        raise InputError(f'{path} is damaged: {go_on}.')
    state = LargeState(step=step, best_step=best_step, optimizer_state=jax.tree.unflatten(structure, found), **arrays)
    return state, rate


class _Progress(ProgressReport):
    """The progress of one fit: a bar on a terminal, else a line every `LINE_SECONDS` of a slow fit."""

    def __init__(self, num_steps: int, quiet: bool, data_range: tuple[float, float]):
        super().__init__(start=0, total=num_steps, quiet=quiet, task='fitting')
        self._data_range = data_range
        self._reported: tuple[int, float] | None = None

    def show(self, step: int, mse: float) -> None:
        """Show the progress at a measurement."""
        now, before = time.monotonic(), self._reported
        if before is None:
            self._reported = step, now
        elif self.has_bar or now - before[1] >= LINE_SECONDS:
            metrics = {'PSNR': psnr_of(np.asarray([mse]), self._data_range)[0]}
            self.report(step, step_seconds=(now - before[1]) / max(step - before[0], 1), metrics=metrics)
            self._reported = step, now
