"""The second stage: one INR alone on one datapoint. What it cannot fit, no hypernetwork will emit."""

from typing import NamedTuple

import jax
import numpy as np

from hyperinr import fitting, metrics
from hyperinr import weights as weights_lib
from hyperinr.checking.findings import Stage
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['Fit', 'check_inr', 'fit_alone', 'mean_psnr', 'some_points']

NUM_STEPS = 200
"""Steps of each fit. A SIREN of 64 units that fits a patch of 32 x 32 at all is at 40 dB by then."""
MAX_POINTS = 4096
"""Points of the datapoint that are fitted, drawn at random. A fit takes seconds then, minutes on a whole megapixel."""
LEAST_GAIN_DB = 10.0
"""Default target of an INR with as many weights as there are values, above the PSNR of the datapoint's mean. 10 dB are
90 % of the variance, which such an INR passes within tens of steps. With fewer weights the target is lower in
proportion: eight units for a patch of noise reach 4 dB at any rate and frequency."""
SMOOTH_FACTOR = 16.0
"""Factor of the coordinates, which is a factor of the first layer's frequencies. Four times the usual frequencies may
help. Sixteen times are too high, except for an INR whose own are far too low."""
SMOOTH_GAIN_DB = 4.0
"""PSNR that `SMOOTH_FACTOR` must gain for the frequencies to be too low. Below `SHARP_DB` INRs at usual frequencies
gain at most 1.5 dB, SIRENs at omega_0 1 gain 6 to 26 dB (docs/checking.md)."""
SHARP_DB = 40.0
"""PSNR above which frequencies are not questioned: at 40 dB the INR has them."""


class Fit(NamedTuple):
    """An INR fitted at its best rate.

    Attributes:
      rate: Adam's; NaN where every rate diverged.
      psnr_db: after `NUM_STEPS`.
      num_diverged: rates that diverged.
      num_tried: rates tried.
    """

    rate: float
    psnr_db: float
    num_diverged: int
    num_tried: int


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
    values, weight = np.asarray(datapoint.values), np.asarray(datapoint.weight)
    mean = np.broadcast_to(np.average(values, axis=0, weights=weight), values.shape)
    return float(metrics.psnr(mean, values, weight, data_range=data_range))


def fit_alone(inr: Inr, weights: InrWeights, datapoint: Datapoint, *, data_range: tuple[float, float]) -> Fit:
    """Searches Adam's rate for one INR and one datapoint; compiled once for each shape.

    Args:
      inr: evaluates the weights.
      weights: where to start, unbatched.
      datapoint: of at most `MAX_POINTS` points.
      data_range: of the values.
    """
    starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (dict(weights), datapoint))
    family = fitting.FAMILIES['adam']
    try:
        found = fitting.best_rate(
            inr, starts, batch, num_steps=NUM_STEPS, data_range=data_range, families={'adam': family}
        )
    except InputError:
        return Fit(float('nan'), float('nan'), len(family.rates), len(family.rates))
    ends = {trial.rate: float(trial.psnr_db[-1]) for trial in found.trials}
    return Fit(found.rate, ends[found.rate], int(np.sum(~np.isfinite(list(ends.values())))), len(ends))


def check_inr(
    inr: Inr,
    start: InrWeights,
    points: Datapoint,
    stage: Stage,
    *,
    data_range: tuple[float, float],
    target_psnr_db: float | None,
) -> Fit:
    """Fits one INR from a random start, and asks why where it does badly.

    The cause that can be told apart is a lack of frequencies: below `SHARP_DB` the same start is also fitted on
    coordinates multiplied by `SMOOTH_FACTOR`, where such an INR reaches more by `SMOOTH_GAIN_DB` at least.

    Args:
      inr: evaluates the weights.
      start: random weights.
      points: to fit, see `some_points`.
      stage: gets findings, numbers and a summary.
      data_range: of the values.
      target_psnr_db: to reach; ``None``: up to `LEAST_GAIN_DB` above `mean_psnr`.

    Returns:
      The fit.
    """
    num_weights, num_values = weights_lib.count(weights_lib.spec_of(start)), points.values.size
    baseline = mean_psnr(points, data_range)
    gain = LEAST_GAIN_DB * min(1.0, num_weights / num_values)
    target = baseline + gain if target_psnr_db is None else target_psnr_db
    fit = fit_alone(inr, start, points, data_range=data_range)
    stage.numbers |= {
        **fit._asdict(),
        'target_psnr_db': target,
        'mean_psnr_db': baseline,
        'num_steps': NUM_STEPS,
        'num_weights': num_weights,
        'num_values': num_values,
    }
    reached = f'{fit.psnr_db:.1f} dB after {NUM_STEPS} steps of Adam at its best rate, {fit.rate:.2g}'
    stage.summary = f'{reached}; the target is {target:.1f} dB'
    reached = f'one INR alone reaches {reached}'
    if not np.isfinite(fit.psnr_db):
        lowest = min(fitting.FAMILIES['adam'].rates)
        stage.find('fit.diverged', num_tried=fit.num_tried, lowest_rate=lowest)
    elif fit.psnr_db < max(target, SHARP_DB):
        scaled = points._replace(coords=np.float32(SMOOTH_FACTOR) * points.coords)
        sharper = fit_alone(inr, start, scaled, data_range=data_range).psnr_db
        stage.numbers['psnr_db_at_higher_frequencies'] = sharper
        if sharper >= fit.psnr_db + SMOOTH_GAIN_DB:
            stage.find('fit.too_smooth', reached=reached, factor=SMOOTH_FACTOR, **stage.numbers)
        elif fit.psnr_db < target:
            stage.find('fit.misses_target', reached=reached, **stage.numbers)
    return fit
