"""The second stage: fit one INR alone to some datapoints. No hypernetwork emits better weights than such fits.

Letters: ``M`` datapoints.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from hyperinr import fitting, metrics
from hyperinr import weights as weights_lib
from hyperinr.checking.findings import Stage
from hyperinr.checking.reference import SHARP_DB, mean_psnr, reference_psnr, standardised, target_psnr
from hyperinr.errors import InputError
from hyperinr.fitting.programs import AtRate
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['Alone', 'Fit', 'alone_on', 'check_inr', 'some_points']

ADAM = fitting.FAMILIES['adam']._replace(rates=(1e-3, 4e-3))
"""The first rates of a search that halves and doubles from there: five trials find the best of most INRs."""
NUM_STEPS = 200
"""Steps of each fit. A SIREN of 64 units that can fit a patch of 32 x 32 reaches 40 dB in them."""
MAX_POINTS = 2048
"""Most points of a datapoint that are fitted, drawn at random. A fit then takes seconds, on a megapixel minutes."""
SMOOTH_FACTOR = 16.0
"""Factor of the coordinates, and so of the first layer's frequencies. Four times the usual frequencies may help.
Sixteen times are too high, except for an INR whose frequencies are far too low."""
SMOOTH_GAIN_DB = 4.0
"""Least PSNR gain that shows too low frequencies. Below `SHARP_DB` INRs at usual frequencies gain at most 1.5 dB by
`SMOOTH_FACTOR`, and SIRENs with omega_0 = 1 gain 6 to 26 dB (docs/checking.md)."""
SCALE_GAIN_DB = 10.0
"""Least PSNR gain by standardised values that shows a wrong scale. A SIREN gains 40 dB where values run to 255, and
6 dB in [0, 1] where only its hidden frequencies are wrong."""


class Fit(NamedTuple):
    """The fits of INRs at the rate that is best for all.

    Attributes:
      rate: rate of Adam; NaN if every rate diverged.
      each_db: PSNR ``[M]`` after `NUM_STEPS`.
      num_diverged: number of rates that diverged.
      num_tried: number of rates that were tried.
    """

    rate: float
    each_db: tuple[float, ...]
    num_diverged: int
    num_tried: int

    @property
    def psnr_db(self) -> float:
        """Mean PSNR over the datapoints."""
        return float(np.mean(self.each_db))


class Alone(NamedTuple):
    """INRs without a hypernetwork, and the points that they are fitted to.

    Attributes:
      inr: evaluates the weights.
      points: M datapoints of at most `MAX_POINTS` points, leaves ``[M, ...]``.
      data_range: range of the values.
      unit: ``[M]`` or a number; the values were divided by it, and the PSNR is that of the undivided ones.
    """

    inr: Inr
    points: Datapoint
    data_range: tuple[float, float]
    unit: float | np.ndarray = 1.0

    @property
    def means_db(self) -> list[float]:
        """PSNR of the mean of each datapoint in dB."""
        rows = range(len(self.points.values))
        return [mean_psnr(jax.tree.map(lambda leaf, row=row: leaf[row], self.points), self.data_range) for row in rows]

    def fit(self, starts: InrWeights) -> Fit:
        """Fit from weights ``[M, ...]`` at the best rate of Adam. Compiles once for each shape."""
        families = {'adam': ADAM}
        try:
            found = fitting.best_rate(
                self.inr, starts, self.points, num_steps=NUM_STEPS, data_range=self.data_range, families=families
            )
        except InputError:
            bad = (float('nan'),) * len(self.points.values)
            return Fit(float('nan'), bad, len(ADAM.rates), len(ADAM.rates))
        optimizer = AtRate(ADAM.make, found.rate)
        fitted = fitting.fit(self.inr, starts, self.points, optimizer=optimizer, num_steps=NUM_STEPS)
        ends = metrics.psnr_from_mse(np.asarray(fitted.mse)[:, -1] * np.square(self.unit), self.data_range)
        num_diverged = sum(not np.isfinite(trial.psnr_db[-1]) for trial in found.trials)
        return Fit(found.rate, tuple(np.asarray(ends).tolist()), num_diverged, len(found.trials))


def some_points(datapoint: Datapoint) -> Datapoint:
    """Draw at most `MAX_POINTS` points from those of positive weight."""
    counted = np.flatnonzero(np.asarray(datapoint.weight) > 0)
    if len(datapoint.weight) <= MAX_POINTS:
        return datapoint
    rows = np.random.default_rng(0).choice(counted, MAX_POINTS, replace=len(counted) < MAX_POINTS)
    return datapoint._replace(
        coords=datapoint.coords[rows], values=datapoint.values[rows], weight=datapoint.weight[rows]
    )


def alone_on(inr: Inr, datapoints: Sequence[Datapoint], data_range: tuple[float, float]) -> Alone:
    """Return the INR with `some_points` of each datapoint."""
    points = [some_points(each) for each in datapoints]
    return Alone(inr, jax.tree.map(lambda *leaves: np.stack(leaves), *points), data_range)


def check_inr(
    alone: Alone, starts: InrWeights, fit: Fit, stage: Stage, *, names: Sequence[str], target_psnr_db: float | None
) -> None:
    """Check the fits of INRs from a random start, and find the cause of bad ones.

    Two causes can be identified, by fits of the same start to changed points: too low frequencies, with coordinates
    multiplied by `SMOOTH_FACTOR`, and values of another scale than that of the INR's output, with standardised values.

    Args:
      alone: the INR and its points.
      starts: random weights ``[M, ...]``.
      fit: the fit from these weights.
      stage: gets findings, numbers and a summary.
      names: names of the datapoints.
      target_psnr_db: mean PSNR to reach; ``None``: that of `target_psnr`.
    """
    means = alone.means_db
    each_db, reference, targets = np.array(fit.each_db), None, target_psnr(means)
    if target_psnr_db is not None:
        targets = np.full(len(names), target_psnr_db)
    elif fit.psnr_db < targets.mean():  # No reference is needed by an INR that is half-way to `SHARP_DB`.
        reference = reference_psnr(alone.points, alone.data_range, NUM_STEPS)
        targets = target_psnr(means, reference)
    target, worst = float(targets.mean()), int(np.argmin(each_db - targets))
    stage.numbers |= {
        **fit._asdict(),
        'psnr_db': fit.psnr_db,
        'target_psnr_db': target,
        'mean_psnr_db': float(np.mean(means)),
        'reference_psnr_db': None if reference is None else float(reference.mean()),
        'datapoints': list(names),
        'num_steps': NUM_STEPS,
        'num_weights': sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(starts)),
        'num_values': alone.points.values[0].size,
    }
    reached = f'{fit.psnr_db:.1f} dB after {NUM_STEPS} steps of Adam at its best rate, {fit.rate:.2g}'
    spread = f'{min(fit.each_db):.1f} to {max(fit.each_db):.1f} dB on {len(names)} datapoints'
    stage.summary = f'{reached} (mean; {spread}); the target is {target:.1f} dB'
    if not np.isfinite(fit.psnr_db):
        stage.find('fit.diverged', num_tried=fit.num_tried, lowest_rate=min(ADAM.rates))
    elif fit.psnr_db < max(target, SHARP_DB):
        _find_cause(alone, starts, fit, stage, f'one INR alone reaches {reached}', names[worst], float(each_db[worst]))


def _find_cause(
    alone: Alone, starts: InrWeights, fit: Fit, stage: Stage, reached: str, where: str, where_db: float
) -> None:
    """Add the finding about an INR below `SHARP_DB` or the target; none if it reaches the target and has no cause."""
    scaled = alone.points._replace(coords=np.float32(SMOOTH_FACTOR) * alone.points.coords)
    sharper = alone._replace(points=scaled).fit(starts).psnr_db
    numbers = stage.numbers
    numbers['psnr_db_at_higher_frequencies'] = sharper
    text = {'reached': reached, 'where': where, 'where_psnr_db': where_db}
    if sharper >= fit.psnr_db + SMOOTH_GAIN_DB:
        stage.find('fit.too_smooth', **text, factor=SMOOTH_FACTOR, **numbers)
    elif fit.psnr_db < numbers['target_psnr_db']:
        standard, unit = standardised(alone.points, alone.data_range)
        centred = _standard(starts, alone.data_range)
        numbers['psnr_db_standardised'] = alone._replace(points=standard, unit=unit).fit(centred).psnr_db
        if numbers['psnr_db_standardised'] >= fit.psnr_db + SCALE_GAIN_DB:
            stage.find('fit.wrong_scale', **text, **numbers)
        elif numbers['reference_psnr_db'] is None:
            stage.find('fit.misses_target', **text, **numbers)
        else:
            stage.find('fit.misses_target/reference', **text, **numbers)


def _standard(starts: InrWeights, data_range: tuple[float, float]) -> InrWeights:
    """Return fresh weights whose output biases, drawn for the data range, suit values of mean 0 and deviation 1."""
    low, high = data_range
    layer = weights_lib.spec_of(starts).layers[-1]
    return {**starts, layer: {**starts[layer], 'b': (starts[layer]['b'] - low) / (high - low) - 0.5}}
