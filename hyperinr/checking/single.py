"""The third rung: the hypernetwork on a single datapoint, and the INR alone from what it then emits.

Letters: ``K`` adaptation steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import metrics
from hyperinr.checking.alone import SHARP_DB, Fit, fit_alone, some_points
from hyperinr.checking.findings import Finding, problem
from hyperinr.checking.trial import Course, Trial, repeated, run, score
from hyperinr.types import Array, Datapoint, InrWeights, MetaLearner, Params

__all__ = ['Adapted', 'SingleLook', 'adapter', 'look_at_single', 'name_cause']

SHORTER = (0.1, 0.01)
"""Of the outer optimiser's steps. In as few updates as a course has, a tenth of a good rate learns less than the rate
itself: a shorter step that learns more is a rate that is too high, whatever else there is."""
LONGER = 10.0
RATE_GAIN_DB = 3.0
"""By which shorter steps must be ahead: twice the error; courses at good rates differ by less from seed to seed."""
LEAST_GAIN_DB = 1.0
"""Of a course on one datapoint. From fresh weights to the mean colour of a picture alone it is several decibels."""
ADAPTATION_LOSS_DB = 1.0
"""That the adaptation steps of a fresh hypernetwork may lose: the outer gradient corrects that much. A step that goes a
hundred times too far loses everything."""
START_LOSS_DB = 3.0
"""By which a fit from the emitted weights may end below one from a random start: as much as two random starts differ.
Beyond `alone.SHARP_DB` both are fitted, and which is ahead says nothing. Weights with dead or saturated units, which no
optimiser brings back, end tens of decibels below."""


class Adapted(NamedTuple):
    """One adaptation.

    Attributes:
      psnr_db: ``[K + 1]`` after 0, 1, ... steps.
      weights: after the last, unbatched leaves.
    """

    psnr_db: np.ndarray
    weights: InrWeights


class SingleLook(NamedTuple):
    """What the third rung saw.

    Attributes:
      findings: problems.
      numbers: JSON-serialisable but for numbers that are not finite.
    """

    findings: tuple[Finding, ...]
    numbers: dict[str, Any]


Adapter = Callable[[Params, float], Adapted]


def adapter(learner: MetaLearner, datapoint: Datapoint, data_range: tuple[float, float]) -> Adapter:
    """``(params, factor of all step sizes) -> Adapted`` on one datapoint, compiled once."""

    @jax.jit
    def adapted(params: Params, factor: Array) -> tuple[Array, InrWeights]:
        start = learner.hypernetwork.encode(params, datapoint)
        rates = jax.tree.map(lambda rate: factor * rate, start.rates)
        weights, mse = learner.follow(params, start._replace(rates=rates), datapoint, learner.num_steps)
        return mse, jax.tree.map(lambda leaf: leaf[-1], weights)

    def adapt(params: Params, factor: float) -> Adapted:
        mse, weights = jax.tree.map(np.asarray, adapted(params, jnp.float32(factor)))
        return Adapted(np.asarray(metrics.psnr_from_mse(np.maximum(mse, 1e-12), data_range)), weights)

    return adapt


def name_cause(first_db: float, usual: Course, course_at: Callable[[float], Course], least_gain_db: float) -> Any:
    """Whether the outer rate is at fault, found by courses with shorter and, where nothing is learned, longer steps.

    Args:
      first_db: before the course.
      usual: the course at the rate of the config.
      course_at: ``factor of the steps -> course``.
      least_gain_db: that counts as learning.

    Returns:
      ``(cause, scores)``: the cause is ``'rate_too_high'``, ``'rate_too_low'``, ``'diverged'``, ``'stuck'`` or
      ``None``; the scores are in dB by factor.
    """
    scores = {1.0: score(usual)} | {factor: score(course_at(factor)) for factor in SHORTER}
    shorter = max(scores[factor] for factor in SHORTER)
    if shorter > scores[1.0] + RATE_GAIN_DB:
        return 'rate_too_high', scores
    if usual.diverged:
        return 'diverged', scores
    if scores[1.0] >= first_db + least_gain_db:
        return None, scores
    scores[LONGER] = score(course_at(LONGER))
    return ('rate_too_low' if scores[LONGER] >= first_db + least_gain_db else 'stuck'), scores


def look_at_single(
    trial: Trial, datapoint: Datapoint, *, data_range: tuple[float, float], alone: Callable[[], Fit]
) -> SingleLook:
    """Trains on one datapoint alone, at three lengths of step, and fits its INR on from what is then emitted.

    Args:
      trial: prepared; its program gets batches of copies of the datapoint.
      datapoint: of the training split.
      data_range: of the values.
      alone: fits the same datapoint from a random start; called where the courses are fine.
    """
    batch = repeated(datapoint, trial.experiment.batch_size)
    adapt = adapter(trial.learner, datapoint, data_range)
    fresh = {factor: adapt(trial.fresh.params, factor).psnr_db for factor in (1.0, *SHORTER)}
    numbers: dict[str, Any] = {'fresh_psnr_db_after_steps': fresh[1.0].tolist()}
    inner = _inner_rates(fresh)
    if inner is not None:
        return SingleLook((inner,), numbers)
    usual = run(trial, lambda _: batch)
    first = float(usual.metrics['psnr_db'][0])
    course_at = lambda factor: run(trial, lambda _: batch, step_factor=factor)
    cause, scores = name_cause(first, usual, course_at, LEAST_GAIN_DB)
    numbers |= {
        'num_updates': trial.experiment.num_steps,
        'first_psnr_db': first,
        'psnr_db': scores[1.0],
        'psnr_db_at_steps_times': {f'{factor:g}': value for factor, value in scores.items()},
    }
    finding = _outer_finding(cause, first, scores, trial.experiment.num_steps)
    if finding is not None:
        return SingleLook((finding,), numbers)
    emitted = adapt(usual.state.average, 1.0)
    onwards = fit_alone(trial.learner.inr, emitted.weights, some_points(datapoint), data_range=data_range)
    random = alone()
    numbers |= {
        'emitted_psnr_db_after_steps': emitted.psnr_db.tolist(),
        'onwards_psnr_db': onwards.reached_db,
        'onwards_rate': onwards.rate,
        'alone_psnr_db': random.reached_db,
    }
    needed = np.nan_to_num(min(random.reached_db, SHARP_DB), nan=-np.inf) - START_LOSS_DB
    if onwards.reached_db >= needed:
        return SingleLook((), numbers)
    return SingleLook((_not_trainable(emitted, onwards, random),), numbers)


def _inner_rates(fresh: dict[float, np.ndarray]) -> Finding | None:
    """Judges the PSNR ``[K + 1]`` of a fresh hypernetwork's adaptation, by factor of its step sizes."""
    usual = fresh[1.0]
    if len(usual) < 2 or usual[-1] >= usual[0] - ADAPTATION_LOSS_DB:
        return None
    ends = {factor: float(np.nan_to_num(curve[-1], nan=-np.inf)) for factor, curve in fresh.items()}
    factor = max(SHORTER, key=lambda each: ends[each])
    if ends[factor] < ends[1.0] + RATE_GAIN_DB:
        return None
    return problem(
        'start.inner_rate_too_high',
        f'{len(usual) - 1} adaptation steps take a fresh hypernetwork from {usual[0]:.1f} to {usual[-1]:.1f} dB; with '
        f'step sizes times {factor:g} to {ends[factor]:.1f} dB',
        f'lower the initial step sizes (initial of learned_rates) about {1 / factor:g} times',
        factor=factor,
    )


def _outer_finding(cause: str | None, first: float, scores: dict[float, float], num_updates: int) -> Finding | None:
    if cause is None:
        return None
    tried = ', '.join(f'{value:.1f} dB with steps times {factor:g}' for factor, value in sorted(scores.items()))
    what = f'{num_updates} updates on a single datapoint lead from {first:.1f} dB to {tried}'
    best = max(scores, key=lambda factor: scores[factor])
    remedy = {
        'rate_too_high': f'lower the outer learning rate about {1 / best:g} times',
        'rate_too_low': f'raise the outer learning rate about {best:g} times',
        'diverged': 'check the initialisation of hypernetwork and INR, and the inner step sizes',
        'stuck': 'check that the loss depends on the hypernetwork: its heads, its optimiser, what is frozen',
    }[cause]
    return problem(f'training.{cause}', what, remedy, num_updates=num_updates)


def _not_trainable(emitted: Adapted, onwards: Fit, alone: Fit) -> Finding:
    sizes = {
        layer: float(np.sqrt(np.mean([np.mean(np.square(leaf)) for leaf in tensors.values()])))
        for layer, tensors in emitted.weights.items()
    }
    shown = ', '.join(f'{layer} {size:.2g}' for layer, size in sizes.items())
    return problem(
        'start.not_trainable',
        f'from the emitted weights ({emitted.psnr_db[-1]:.1f} dB) the INR alone ends at {onwards.reached_db:.1f} dB, '
        f'from a random start at {alone.reached_db:.1f} dB; root mean squares of the emitted layers: {shown}',
        'lower the outer rate or initial_delta, so that emitted weights keep the scale of a fresh INR',
        onwards_psnr_db=onwards.reached_db,
        alone_psnr_db=alone.reached_db,
    )
