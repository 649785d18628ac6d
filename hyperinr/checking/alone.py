"""The second rung: one INR alone on one datapoint. What no INR of this architecture fits, no hypernetwork will emit."""

from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr import fitting
from hyperinr import weights as weights_lib
from hyperinr.checking.findings import Finding, problem
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['AloneLook', 'Fit', 'fit_alone', 'look_at_inr', 'mean_psnr', 'some_points']

NUM_STEPS = 200
"""Of every trial of a rate; a SIREN of 64 units that fits a patch of 32 x 32 at all is at 40 dB by then."""
MAX_POINTS = 4096
"""Of the datapoint, drawn at random: what takes seconds there takes minutes on a megapixel."""
LEAST_GAIN_DB = 10.0
"""Above the datapoint's mean as a prediction: the target of an INR with as many weights as there are values, where none
is given. 10 dB are 90 % of the variance, which such an INR passes within tens of steps. With fewer weights it is fewer
decibels in proportion: eight units for a patch of noise reach 4 dB at any rate and frequency."""
SMOOTH_FACTOR = 16.0
"""Of the coordinates, which is the same as of the first layer's frequencies. Four times the usual ones may help;
sixteen times are too high for all but an INR whose own are far too low."""
SMOOTH_GAIN_DB = 4.0
"""Of PSNR by `SMOOTH_FACTOR`. Below `SHARP_DB` INRs at usual frequencies gain 1.5 dB or lose; SIRENs at omega_0 1 gain
6 to 26 dB (docs/checking.md)."""
SHARP_DB = 40.0
"""PSNR above which frequencies are not questioned: at 40 dB they are there, and how fast they are fitted is left."""


class Fit(NamedTuple):
    """An INR fitted at its best rate.

    Attributes:
      rate: Adam's; NaN where every rate diverged.
      psnr_db: ``[NUM_STEPS + 1]``.
      num_diverged: rates that diverged.
      num_tried: rates tried.
    """

    rate: float
    psnr_db: np.ndarray
    num_diverged: int
    num_tried: int

    @property
    def reached_db(self) -> float:
        """After the last step."""
        return float(self.psnr_db[-1])


class AloneLook(NamedTuple):
    """What the second rung saw.

    Attributes:
      findings: problems.
      numbers: JSON-serialisable.
      fit: from a random start.
    """

    findings: tuple[Finding, ...]
    numbers: dict[str, Any]
    fit: Fit


def some_points(datapoint: Datapoint) -> Datapoint:
    """At most `MAX_POINTS` points, drawn from those of positive weight."""
    counted = np.flatnonzero(np.asarray(datapoint.weight) > 0)
    if len(datapoint.weight) <= MAX_POINTS:
        return datapoint
    rows = np.random.default_rng(0).choice(counted, MAX_POINTS, replace=len(counted) < MAX_POINTS)
    return datapoint._replace(
        coords=datapoint.coords[rows], values=datapoint.values[rows], weight=datapoint.weight[rows]
    )


def mean_psnr(datapoint: Datapoint, data_range: tuple[float, float]) -> float:
    """Of the best constant as a prediction, in dB; infinite for a constant datapoint."""
    values, weight = np.asarray(datapoint.values, np.float64), np.asarray(datapoint.weight, np.float64)
    mean = np.average(values, axis=0, weights=weight)
    with np.errstate(divide='ignore'):
        mse = np.average(np.square(values - mean).mean(axis=1), weights=weight)
        return float(20 * np.log10(data_range[1] - data_range[0]) - 10 * np.log10(mse))


def fit_alone(inr: Inr, weights: InrWeights, datapoint: Datapoint, *, data_range: tuple[float, float]) -> Fit:
    """Searches Adam's rate for one INR and one datapoint; compiled once for each shape.

    Args:
      inr: evaluates the weights.
      weights: where to start, unbatched.
      datapoint: of at most `MAX_POINTS` points.
      data_range: of the values.
    """
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (dict(weights), datapoint))
    families = {'adam': fitting.FAMILIES['adam']}
    try:
        found = fitting.best_rate(inr, starts, batch, num_steps=NUM_STEPS, data_range=data_range, families=families)
    except InputError:
        count = len(families['adam'].rates)
        return Fit(float('nan'), np.full(NUM_STEPS + 1, np.nan), count, count)
    diverged = sum(not np.isfinite(trial.psnr_db[-1]) for trial in found.trials)
    best = next(trial for trial in found.trials if trial.rate == found.rate)
    return Fit(found.rate, best.psnr_db, diverged, len(found.trials))


def look_at_inr(
    inr: Inr, datapoint: Datapoint, *, data_range: tuple[float, float], target_psnr_db: float | None, seed: int
) -> AloneLook:
    """Fits one INR from a random start, and asks why where it does badly.

    The cause that can be told apart is a lack of frequencies: below `SHARP_DB` the same start is also fitted on
    coordinates multiplied by `SMOOTH_FACTOR`, where such an INR reaches more by `SMOOTH_GAIN_DB` at least.

    Args:
      inr: evaluates the weights.
      datapoint: to fit.
      data_range: of the values.
      target_psnr_db: to reach; ``None``: up to `LEAST_GAIN_DB` above `mean_psnr`.
      seed: of the start.
    """
    points = some_points(datapoint)
    start = inr.init(jax.random.key(seed), points.coords.shape[-1])
    baseline = mean_psnr(points, data_range)
    num_weights, num_values = weights_lib.count(weights_lib.spec_of(start)), points.values.size
    gain = LEAST_GAIN_DB * min(1.0, num_weights / num_values)
    target = baseline + gain if target_psnr_db is None else target_psnr_db
    fit = fit_alone(inr, start, points, data_range=data_range)
    numbers: dict[str, Any] = {
        'rate': fit.rate,
        'psnr_db': fit.reached_db,
        'target_psnr_db': target,
        'mean_psnr_db': baseline,
        'num_steps': NUM_STEPS,
        'num_weights': num_weights,
        'num_values': num_values,
        'num_diverged': fit.num_diverged,
        'num_tried': fit.num_tried,
    }
    if not np.isfinite(fit.reached_db):
        finding = problem(
            'fit.diverged',
            f'one INR alone diverges at each of {fit.num_tried} rates, the lowest '
            f'{min(fitting.FAMILIES["adam"].rates):g}',
            'check its initialisation and its frequencies, omega_0 for one',
        )
        return AloneLook((finding,), numbers, fit)
    if fit.reached_db >= max(target, SHARP_DB):
        return AloneLook((), numbers, fit)
    reached = f'one INR alone reaches {fit.reached_db:.1f} dB in {NUM_STEPS} steps at its best rate, {fit.rate:.2g}'
    scaled = points._replace(coords=np.float32(SMOOTH_FACTOR) * points.coords)
    sharper = fit_alone(inr, start, scaled, data_range=data_range).reached_db
    numbers['psnr_db_at_higher_frequencies'] = sharper
    if sharper >= fit.reached_db + SMOOTH_GAIN_DB:
        finding = problem(
            'fit.too_smooth',
            f'{reached}, and {sharper:.1f} dB with frequencies {SMOOTH_FACTOR:g} times as high',
            'raise the frequencies of the first layer (omega_0, where the family has one)',
            psnr_db=fit.reached_db,
            psnr_db_at_higher_frequencies=sharper,
            factor=SMOOTH_FACTOR,
        )
        return AloneLook((finding,), numbers, fit)
    if fit.reached_db >= target:
        return AloneLook((), numbers, fit)
    finding = problem(
        'fit.misses_target',
        f'{reached}; the target is {target:.1f} dB, and its mean alone is worth {baseline:.1f} dB '
        f'({num_weights} weights for {num_values} values)',
        'a wider or deeper INR, another family, or a lower target',
        psnr_db=fit.reached_db,
    )
    return AloneLook((finding,), numbers, fit)
