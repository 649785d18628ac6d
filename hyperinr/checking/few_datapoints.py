"""The third stage: train the hypernetwork on a few datapoints, then fit the INR alone from the emitted weights.

Letters: ``M`` datapoints, ``K`` adaptation steps.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import metrics
from hyperinr.checking.findings import Stage
from hyperinr.checking.inr_fit import Alone, Fit
from hyperinr.checking.program import Program, Training, train
from hyperinr.checking.reference import SHARP_DB
from hyperinr.datasets.base import stack
from hyperinr.types import Array, Datapoint, InrWeights, MetaLearner, Params

__all__ = ['adapter', 'check_few_datapoints', 'check_inner_rates', 'find_rate']

SHORTER = (0.1, 0.01)
"""Factors of the outer optimiser's steps. In so few updates a tenth of a good rate learns less than the rate itself. If
shorter steps learn more, the rate is too high."""
LONGER = (10.0, 1000.0)
RATE_GAIN_DB = 3.0
"""Least PSNR gain by shorter steps that shows a too high rate: half the error. At good rates seeds differ by less."""
LEAST_GAIN_DB = 1.0
"""Least PSNR gain by training on a few datapoints. Learning only the mean colour already gains several decibels."""
ADAPTATION_LOSS_DB = 1.0
"""PSNR that the adaptation steps of a fresh hypernetwork may lose: the outer gradient corrects this much. Steps that
are a hundred times too long lose everything."""
LONGER_INNER = tuple(10.0**power for power in range(1, 9))
"""Factors of step sizes that are tried where adaptation changes nothing."""
LEAST_ADAPTATION_DB = 0.05
"""PSNR gain of all adaptation steps below which they change nothing."""
START_LOSS_DB = 3.0
"""PSNR by which a fit from the emitted weights may end below one from a random start. Two random starts differ by as
much. Above `SHARP_DB` both fits are good, and the difference means nothing. Weights with dead or saturated
units, which no optimiser repairs, end tens of decibels below."""

Adapter = Callable[[Params, float], tuple[np.ndarray, InrWeights]]


def adapter(learner: MetaLearner, datapoints: Datapoint, data_range: tuple[float, float]) -> Adapter:
    """Compile the adaptation to each datapoint, leaves ``[M, ...]``.

    Returns:
      ``(params, factor of all step sizes) -> (mean PSNR [K + 1] in dB after 0, 1, ... steps, weights [M, ...] after the
      last)``.
    """

    def one(datapoint: Datapoint, params: Params, factor: Array) -> tuple[Array, InrWeights]:
        start = learner.hypernetwork.encode(params, datapoint)
        rates = jax.tree.map(lambda rate: factor * rate, start.rates)
        weights, mse = learner.follow(params, start._replace(rates=rates), datapoint, learner.num_steps)
        psnr = metrics.psnr_from_mse(jnp.maximum(mse, 1e-12), data_range)
        return psnr, jax.tree.map(lambda leaf: leaf[-1], weights)

    @jax.jit
    def adapted(params: Params, factor: Array) -> tuple[Array, InrWeights]:
        psnr, weights = jax.vmap(one, (0, None, None))(datapoints, params, factor)
        return psnr.mean(axis=0), weights

    return lambda params, factor: jax.tree.map(np.asarray, adapted(params, jnp.float32(factor)))


def find_rate(
    usual: Training, training_at: Callable[[float], Training], stage: Stage, least_gain_db: float
) -> tuple[str | None, str]:
    """Find the fault of the outer rate, by trainings with shorter and, if nothing is learned, longer steps.

    Args:
      usual: the training at the rate of the config.
      training_at: ``factor of the steps -> training``.
      stage: has the numbers ``first_psnr_db`` and ``num_updates``; gets the finding, unless the cause is ``'stuck'``.
      least_gain_db: least gain that counts as learning.

    Returns:
      The cause, ``'rate_too_high'``, ``'rate_too_low'``, ``'diverged'``, ``'stuck'`` or ``None``, and the results of
      all trainings in words.
    """
    cause, first, updates = None, stage.numbers['first_psnr_db'], stage.numbers['num_updates']
    scores = {1.0: usual.score_db}
    for factor in SHORTER:
        scores[factor] = training_at(factor).score_db
        if scores[factor] < scores[1.0] - RATE_GAIN_DB:
            break  # Still shorter steps learn still less.
    if max(scores.values()) > scores[1.0] + RATE_GAIN_DB:
        cause = 'rate_too_high'
    elif usual.diverged:
        cause = 'diverged'
    elif scores[1.0] < first + least_gain_db:
        cause = 'stuck'
        for factor in LONGER:
            scores[factor] = training_at(factor).score_db
            if scores[factor] >= first + least_gain_db:
                cause = 'rate_too_low'
                break
    stage.numbers['psnr_db_at_steps_times'] = {f'{factor:g}': value for factor, value in scores.items()}
    tried = ', '.join(f'{value:.1f} dB with steps times {factor:g}' for factor, value in sorted(scores.items()))
    lead = f'{updates} updates lead from {first:.1f} dB to {tried}'
    if cause not in (None, 'stuck'):
        best = max(scores, key=lambda factor: scores[factor])
        stage.find(f'training.{cause}', lead=lead, times=max(best, 1 / best), num_updates=updates)
    return cause, lead


def check_few_datapoints(
    program: Program, datapoints: Sequence[Datapoint], alone: Alone, random: Callable[[], Fit], stage: Stage
) -> None:
    """Train on a few datapoints alone at up to three step lengths, then fit their INRs from the emitted weights.

    Args:
      program: the prepared program; gets batches of copies of the datapoints.
      datapoints: M datapoints of the training split; only the first, if a batch is smaller.
      alone: their INR, and the points that the INR alone is fitted to.
      random: returns the fit from a random start; called if the trainings have no finding.
      stage: gets findings, numbers and a summary.
    """
    size, numbers = program.experiment.batch_size, stage.numbers
    rows = np.arange(size) % (len(datapoints) if size >= len(datapoints) else 1)
    batch = stack([datapoints[row] for row in rows.tolist()])
    training_at = lambda factor: train(program, lambda _: batch, step_factor=factor)
    adapt = adapter(program.learner, stack(datapoints), alone.data_range)
    fresh = lambda factor: adapt(program.fresh.params, factor)[0]
    if check_inner_rates(fresh, stage):
        return
    usual = training_at(1.0)
    numbers |= {
        'num_updates': program.experiment.num_steps,
        'first_psnr_db': float(usual.metrics['psnr_db'][0]),
        'psnr_db': usual.score_db,
    }
    stage.summary = '{first_psnr_db:.1f} to {psnr_db:.1f} dB in {num_updates} updates'.format(**numbers)
    cause, lead = find_rate(usual, training_at, stage, LEAST_GAIN_DB)
    if cause == 'stuck':
        stage.find('training.stuck', lead=lead, **numbers)
    if cause is not None:
        return
    mean = float(np.mean(np.array(alone.means_db)[rows]))
    if usual.score_db < mean:
        stage.find('training.below_mean', mean_psnr_db=mean, **numbers)
    after_steps, weights = adapt(usual.state.average, 1.0)
    onwards, fresh_fit = alone.fit(weights), random()
    numbers |= {
        'emitted_psnr_db_after_steps': after_steps.tolist(),
        'onwards_psnr_db': onwards.psnr_db,
        'onwards_rate': onwards.rate,
        'alone_psnr_db': fresh_fit.psnr_db,
    }
    stage.summary += (
        f'; from the emitted weights the INR alone reaches {onwards.psnr_db:.1f} dB, from a random start '
        f'{fresh_fit.psnr_db:.1f} dB'
    )
    needed = np.nan_to_num(np.minimum(fresh_fit.each_db, SHARP_DB), nan=-np.inf).mean() - START_LOSS_DB
    if not np.minimum(onwards.each_db, SHARP_DB).mean() >= needed:
        squares = {layer: [np.mean(np.square(leaf)) for leaf in leaves.values()] for layer, leaves in weights.items()}
        layers = ', '.join(f'{layer} {np.sqrt(np.mean(each)):.2g}' for layer, each in squares.items())
        stage.find('start.not_trainable', emitted_psnr_db=float(after_steps[-1]), layers=layers, **numbers)


def check_inner_rates(fresh: Callable[[float], np.ndarray], stage: Stage) -> bool:
    """Check whether the adaptation steps of a fresh hypernetwork are too long, or so short that they change nothing.

    Args:
      fresh: ``factor of the step sizes -> PSNR [K + 1] in dB during the adaptation``.
      stage: gets the finding and the PSNR.

    Returns:
      Whether they are too long or too short.
    """
    usual = fresh(1.0)
    stage.numbers['fresh_psnr_db_after_steps'] = usual.tolist()
    gain = usual[-1] - usual[0]
    if len(usual) < 2 or (gain >= -ADAPTATION_LOSS_DB and abs(gain) > LEAST_ADAPTATION_DB):
        return False
    code, factors, least = 'start.inner_rate_too_low', LONGER_INNER, LEAST_GAIN_DB
    if not gain >= -ADAPTATION_LOSS_DB:
        code, factors, least = 'start.inner_rate_too_high', SHORTER, RATE_GAIN_DB
    ends = {factor: float(np.nan_to_num(fresh(factor)[-1], nan=-np.inf)) for factor in factors}
    factor = max(ends, key=lambda each: ends[each])
    if ends[factor] < np.nan_to_num(usual[-1], nan=-np.inf) + least:
        return False
    stage.find(
        code,
        num_steps=len(usual) - 1,
        first_psnr_db=float(usual[0]),
        psnr_db=float(usual[-1]),
        psnr_db_at_factor=ends[factor],
        factor=factor,
        times=max(factor, 1 / factor),
    )
    return True
