"""The second stage: fit one INR alone to one datapoint. No hypernetwork emits better weights than such a fit."""

from typing import NamedTuple

import jax
import numpy as np

from hyperinr import fitting, metrics
from hyperinr import weights as weights_lib
from hyperinr.checking.findings import Stage
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['Alone', 'Fit', 'check_inr', 'mean_psnr', 'some_points']

ADAM = fitting.FAMILIES['adam']
NUM_STEPS = 200
"""Steps of each fit. A SIREN of 64 units that can fit a patch of 32 x 32 reaches 40 dB in them."""
MAX_POINTS = 4096
"""Most points that are fitted, drawn at random. A fit then takes seconds; on a whole megapixel it takes minutes."""
LEAST_GAIN_DB = 10.0
"""Default target above the PSNR of the datapoint's mean, for an INR with as many weights as there are values. 10 dB are
90 % of the variance. Such an INR passes them within tens of steps. With fewer weights the target is lower in
proportion: eight units reach 4 dB on a patch of noise, at any rate and frequency."""
SMOOTH_FACTOR = 16.0
"""Factor of the coordinates, and so of the first layer's frequencies. Four times the usual frequencies may help.
Sixteen times are too high, except for an INR whose frequencies are far too low."""
SMOOTH_GAIN_DB = 4.0
"""Least PSNR gain by `SMOOTH_FACTOR` that shows too low frequencies. Below `SHARP_DB` INRs at usual frequencies gain at
most 1.5 dB, and SIRENs with omega_0 = 1 gain 6 to 26 dB (docs/checking.md)."""
SHARP_DB = 40.0
"""PSNR above which frequencies are not tested: an INR at 40 dB has the frequencies that it needs."""


class Fit(NamedTuple):
    """The fit of an INR at its best rate.

    Attributes:
      rate: rate of Adam; NaN if every rate diverged.
      psnr_db: PSNR after `NUM_STEPS`.
      num_diverged: number of rates that diverged.
      num_tried: number of rates that were tried.
    """

    rate: float
    psnr_db: float
    num_diverged: int
    num_tried: int


class Alone(NamedTuple):
    """One INR without a hypernetwork, and the points that it is fitted to.

    Attributes:
      inr: evaluates the weights.
      points: a datapoint of at most `MAX_POINTS` points.
      data_range: range of the values.
    """

    inr: Inr
    points: Datapoint
    data_range: tuple[float, float]

    def fit(self, start: InrWeights) -> Fit:
        """Fit the INR from unbatched weights at the best rate of Adam. Compiles once for each shape."""
        starts, batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (dict(start), self.points))
        try:
            found = fitting.best_rate(
                self.inr, starts, batch, num_steps=NUM_STEPS, data_range=self.data_range, families={'adam': ADAM}
            )
        except InputError:
            return Fit(float('nan'), float('nan'), len(ADAM.rates), len(ADAM.rates))
        ends = {trial.rate: float(trial.psnr_db[-1]) for trial in found.trials}
        return Fit(found.rate, ends[found.rate], int(np.sum(~np.isfinite(list(ends.values())))), len(ends))


def some_points(datapoint: Datapoint) -> Datapoint:
    """Draw at most `MAX_POINTS` points from those of positive weight."""
    counted = np.flatnonzero(np.asarray(datapoint.weight) > 0)
    if len(datapoint.weight) <= MAX_POINTS:
        return datapoint
    rows = np.random.default_rng(0).choice(counted, MAX_POINTS, replace=len(counted) < MAX_POINTS)
    return datapoint._replace(
        coords=datapoint.coords[rows], values=datapoint.values[rows], weight=datapoint.weight[rows]
    )


def mean_psnr(datapoint: Datapoint, data_range: tuple[float, float]) -> float:
    """Return the PSNR of the best constant prediction in dB; `metrics.MOST_DB` for a constant datapoint."""
    values, weight = np.asarray(datapoint.values), np.asarray(datapoint.weight)
    mean = np.broadcast_to(np.average(values, axis=0, weights=weight), values.shape)
    return float(metrics.psnr(mean, values, weight, data_range=data_range))


def check_inr(alone: Alone, start: InrWeights, fit: Fit, stage: Stage, target_psnr_db: float | None) -> None:
    """Check the fit of an INR from a random start, and find the cause of a bad one.

    One cause can be identified: too low frequencies. Below `SHARP_DB` the same start is also fitted on coordinates
    multiplied by `SMOOTH_FACTOR`. An INR with too low frequencies gains at least `SMOOTH_GAIN_DB` by that.

    Args:
      alone: the INR and its points.
      start: random weights.
      fit: the fit from these weights.
      stage: gets findings, numbers and a summary.
      target_psnr_db: PSNR to reach; ``None``: up to `LEAST_GAIN_DB` above `mean_psnr`.
    """
    num_weights, num_values = weights_lib.count(weights_lib.spec_of(start)), alone.points.values.size
    baseline = mean_psnr(alone.points, alone.data_range)
    gain = LEAST_GAIN_DB * min(1.0, num_weights / num_values)
    target = baseline + gain if target_psnr_db is None else target_psnr_db
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
        stage.find('fit.diverged', num_tried=fit.num_tried, lowest_rate=min(ADAM.rates))
    elif fit.psnr_db < max(target, SHARP_DB):
        scaled = alone.points._replace(coords=np.float32(SMOOTH_FACTOR) * alone.points.coords)
        sharper = alone._replace(points=scaled).fit(start).psnr_db
        stage.numbers['psnr_db_at_higher_frequencies'] = sharper
        if sharper >= fit.psnr_db + SMOOTH_GAIN_DB:
            stage.find('fit.too_smooth', reached=reached, factor=SMOOTH_FACTOR, **stage.numbers)
        elif fit.psnr_db < target:
            stage.find('fit.misses_target', reached=reached, **stage.numbers)
