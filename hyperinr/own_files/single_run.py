"""The run of one fit: the points of a step, the learning rate, and a loop that can be stopped and goes on."""

import signal as signals
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, InterruptedRunError
from hyperinr.fitting import AtRate, Family, LargeSignal, fit_large, rate_range, rate_schedules
from hyperinr.fitting.search import climbed
from hyperinr.kinds import Signal
from hyperinr.own_files.generation import psnr_of
from hyperinr.own_files.partial_state import PARTIAL, identity_of, read_state, state_like, write_state
from hyperinr.own_files.sizes import DRAWN_POINTS, FULL_POINTS, MEASURE_EVERY, Points
from hyperinr.runtime.files import plain
from hyperinr.runtime.interruption import interruptible
from hyperinr.runtime.outputs import write_json_output
from hyperinr.runtime.progress import ProgressReport
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['Fitted', 'Rule', 'large_rate', 'run']

SEARCH_STEPS = 100
"""Most steps of one trial in the search for a learning rate; there are eight or more trials."""
LARGE_SEARCH_SHARE = 1 / 100
"""Steps of one trial of a large fit, as a part of its steps; there are four or more trials."""
LEAST_SEARCH_STEPS = 20
"""Least steps of such a trial."""
LINE_SECONDS = 10.0
"""Least time between two lines of progress when the output is no terminal."""
SAVE_SECONDS = 30.0
"""Least time between two saved states."""
NEEDS_MODEL = 'conjugate_gradient'
"""The optimiser that needs more than gradients."""


class Rule(NamedTuple):
    """How a fit takes its steps: arguments of `hyperinr.own_files.fit_file`, the ``points`` of a step, and the
    ``family`` of the optimiser, ``(schedule of the rate) -> Family``."""

    optimizer: str
    family: Callable[[optax.Schedule | None], Family]
    rate: float | str
    num_steps: int
    points: Points
    seed: int

    @property
    def is_large(self) -> bool:
        """Whether devices share a step, progress is shown and states are saved."""
        many = not self.points.sees_all or self.points.drawn > FULL_POINTS
        return many and self.optimizer != NEEDS_MODEL

    def family_for(self, num_steps: int) -> Family:
        """Return the optimiser for a fit of so many steps: drawn points are noise, which a falling rate averages."""
        falls = self.is_large and not self.points.sees_all
        return self.family(rate_schedules.cosine(num_steps=num_steps) if falls else None)


class Fitted(NamedTuple):
    """The result of a run.

    Attributes:
      weights: of least measured error, unbatched leaves.
      mse: ``[num_steps + 1]`` float64; between two measurements, the last one.
      best_step: the step after which ``weights`` were reached.
      rate: learning rate.
      partial: file of its states, which is of no use once the result is written; ``None``: it has none.
    """

    weights: InrWeights
    mse: np.ndarray
    best_step: int
    rate: float
    partial: Path | None = None


def run(
    inr: Inr,
    weights: InrWeights,
    signal: Signal,
    rule: Rule,
    stem: Path,
    settings: Mapping[str, Any],
    *,
    said: tuple[str, ...] = (),
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
      said: sentences to print first.
      quiet: print nothing.

    Raises:
      KeyboardInterrupt, InterruptedRunError: after a signal, when the state is saved.
      RunError: the disk is full.
    """
    spec, total, points = weights_lib.spec_of(weights), int(np.prod(signal.grid_shape)), rule.points
    large = LargeSignal(total, signal.at)
    with _Progress(rule.num_steps, quiet, signal.data_range) as progress:
        for sentence in (*said, points.sentence):
            progress.say(sentence)
        if not rule.is_large:
            rate = _rate(inr, weights, large, rule, signal.data_range, stem)
            return _fit(inr, weights, signal, rule, rate)
        partial, make = stem.with_name(f'{stem.name}{PARTIAL}'), rule.family_for(rule.num_steps).make
        about = [rule._replace(family=None), dict(settings)]  # type: ignore[arg-type]
        identity = identity_of(signal, weights, about)
        state, rate = read_state(partial, identity, state_like(make(1.0), rule.num_steps, spec))
        if state is not None:
            progress.say(f'goes on from step {state.step} in {partial}')
        else:
            if isinstance(rule.rate, str):
                progress.say(f'searching the learning rate by short fits of {points.drawn} points')
            rate = _rate(inr, weights, large, rule, signal.data_range, stem)
        with interruptible() as interruption:
            states = fit_large(
                inr,
                weights,
                large,
                optimizer=AtRate(make, rate),
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
                    write_state(partial, identity, state, rate)
                    saved = time.monotonic()
                if stops:
                    stopped = KeyboardInterrupt if interruption.signal == signals.SIGINT else InterruptedRunError
                    raise stopped(f'interrupted: saved at step {state.step}; the same command goes on from there')
    assert state is not None
    mse = np.where(np.arange(rule.num_steps + 1) > state.step, state.mse[state.step], state.mse)
    best = jax.tree.map(np.asarray, weights_lib.unflatten(state.best, spec))
    return Fitted(best, mse, state.best_step, rate, partial)


def _fit(inr: Inr, weights: InrWeights, signal: Signal, rule: Rule, rate: float) -> Fitted:
    """Fit in one compiled loop."""
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, signal.datapoint()))
    points = rule.points
    drawn = {'num_points': points.drawn, 'num_measured': points.measured, 'full_pass_every': MEASURE_EVERY}
    fitted = fitting.fit(
        inr,
        starts,
        batch,
        optimizer=rule.family_for(rule.num_steps).make(rate),
        num_steps=rule.num_steps,
        subsampling=None if points.sees_all else fitting.stratified(**drawn),
        seed=rule.seed,
        keep_best=True,
    )
    tree = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fitted.weights)
    return Fitted(tree, np.asarray(fitted.mse[0], np.float64), int(fitted.best_step[0]), rate)


def _rate(
    inr: Inr, weights: InrWeights, large: LargeSignal, rule: Rule, data_range: tuple[float, float], stem: Path
) -> float:
    """Return the learning rate: the given one, or the one found by short fits or a range test of some points."""
    if not isinstance(rule.rate, str):
        return float(rule.rate)
    if rule.rate == 'search' and rule.is_large:
        return large_rate(inr, weights, large, rule)
    total, number = large.num_points, min(rule.points.drawn, max(DRAWN_POINTS, FULL_POINTS))
    rows = np.arange(total)
    if number < total:
        rows = np.sort(np.random.default_rng(0).choice(total, number, replace=False, shuffle=False))
    some = Datapoint(*large.read(rows), np.zeros((), np.int32))
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (weights, some))
    family = rule.family(None)
    if rule.rate == 'range':
        found = rate_range.rate_range(inr, starts, batch, make=family.make)
        write_json_output(stem.with_name(f'{stem.name}.rates.json'), plain(found._asdict()))
        return float(found.rate)
    steps, families = min(rule.num_steps, SEARCH_STEPS), {rule.optimizer: family}
    return float(fitting.best_rate(inr, starts, batch, num_steps=steps, data_range=data_range, families=families).rate)


def large_rate(inr: Inr, weights: InrWeights, large: LargeSignal, rule: Rule) -> float:
    """Return the rate that is best in short fits of the same kind, on drawn points and with a rate that falls."""
    steps = min(rule.num_steps, max(LEAST_SEARCH_STEPS, round(LARGE_SEARCH_SHARE * rule.num_steps)))
    family = rule.family_for(steps)

    def score(rate: float) -> float:
        *_, last = fit_large(
            inr,
            weights,
            large,
            optimizer=AtRate(family.make, rate),
            num_steps=steps,
            num_points=rule.points.drawn,
            num_measured=rule.points.measured,
            measure_every=steps,
            seed=rule.seed,
        )
        error = last.mse[last.step]
        return -float(error) if np.isfinite(error) else -np.inf

    scores = climbed(family.rates[:2], score, max_extensions=6)
    rate = max(scores, key=scores.__getitem__)
    if scores[rate] == -np.inf:
        raise InputError('every learning rate diverged; give a lower --rate, or check the file for wrong values.')
    return rate


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
