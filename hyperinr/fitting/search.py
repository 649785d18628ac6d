"""Which optimiser, at which rate, serves a start best: the fair opponent of a learned start."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optax

from hyperinr import metrics
from hyperinr.errors import InputError
from hyperinr.fitting.engine import fit_by
from hyperinr.fitting.loop import FitResult, FitRules
from hyperinr.fitting.programs import FitNumbers
from hyperinr.fitting.stopping import NEVER
from hyperinr.types import Array, Datapoint, Inr, InrWeights

__all__ = ['FAMILIES', 'Family', 'SearchResult', 'Trial', 'best_rate', 'fit_at_rate']


class Family(NamedTuple):
    """An optimiser up to its rate.

    Attributes:
      make: ``rate -> optax.GradientTransformation``; the rate may be traced.
      rates: where the search begins, increasing; it goes on beyond either end while that end is the best.
    """

    make: Callable[[float | Array], optax.GradientTransformation]
    rates: tuple[float, ...]


FAMILIES: Mapping[str, Family] = {
    'adam': Family(lambda rate: optax.adam(rate), (5e-4, 1e-3, 2e-3, 4e-3)),
    'momentum': Family(lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True), (1e-2, 3e-2, 1e-1)),
}
"""What a random start is offered: Adam, and gradient descent with Nesterov momentum 0.9."""


class Trial(NamedTuple):
    """One optimiser and rate that was tried.

    Attributes:
      name: of the family.
      rate: learning rate.
      psnr_db: ``[num_steps + 1]``, mean over the datapoints of the PSNR after 0, 1, ... steps.
      deepest_fall_db: how far the one datapoint that falls furthest is below its start at its worst step,
        >= 0; not-a-number where it diverged.
    """

    name: str
    rate: float
    psnr_db: np.ndarray
    deepest_fall_db: float

    def steps_to_reach(self, psnr_db: float) -> int | None:
        """The fewest steps after which the mean PSNR is at least ``psnr_db``; ``None`` if it never is."""
        reached = np.flatnonzero(self.psnr_db >= psnr_db)
        return int(reached[0]) if reached.size else None


class SearchResult(NamedTuple):
    """The chosen optimiser, and all that was tried.

    Attributes:
      name: of its family.
      rate: its learning rate.
      optimizer: ready to use.
      trials: in the order they ran.
    """

    name: str
    rate: float
    optimizer: optax.GradientTransformation
    trials: tuple[Trial, ...]

    def fastest_to(self, psnr_db: float) -> Trial | None:
        """The trial that reached ``psnr_db`` in the fewest steps; ``None`` if none did."""
        steps = [trial.steps_to_reach(psnr_db) for trial in self.trials]
        reached = [(count, position) for position, count in enumerate(steps) if count is not None]
        return self.trials[min(reached)[1]] if reached else None


def fit_at_rate(
    inr: Inr,
    weights: InrWeights,
    datapoints: Datapoint,
    *,
    make: Callable[[float | Array], optax.GradientTransformation],
    rate: float | Array,
    num_steps: int,
    record_steps: Sequence[int] = (),
    step_scale: InrWeights | None = None,
) -> FitResult:
    """`fit` by one optimiser of a family; compiled once for all its rates.

    Args:
      inr, weights, datapoints, num_steps, record_steps, step_scale: as for `fit`.
      make: of a `Family`.
      rate: learning rate.

    Returns:
      A `FitResult`.
    """
    rules = FitRules(num_steps, tuple(record_steps))
    numbers = FitNumbers(rate, NEVER, 0)
    return fit_by(inr, weights, datapoints, make=make, rules=rules, numbers=numbers, step_scale=step_scale)


def best_rate(
    inr: Inr,
    weights: InrWeights,
    datapoints: Datapoint,
    *,
    num_steps: int,
    data_range: tuple[float, float],
    score_steps: Sequence[int] | None = None,
    families: Mapping[str, Family] = FAMILIES,
    max_extensions: int = 6,
    step_scale: InrWeights | None = None,
) -> SearchResult:
    """The optimiser and rate with the highest mean PSNR over ``score_steps``.

    Each family's rates are tried in turn, then twice or half as much as the best while that is at the end of those
    tried, then a factor of the square root of 2 to either side of the best. Use datapoints other than those that the
    choice is judged on.

    Args:
      inr: evaluates the weights.
      weights: starts, leaves ``[B, ...]``.
      datapoints: leaves ``[B, ...]``.
      num_steps: of every trial, >= 1.
      data_range: ``(low, high)`` of the values, for the PSNR.
      score_steps: step counts in [1, num_steps] that the score averages over; ``None``: the last only.
      families: name -> `Family`.
      max_extensions: how many times the range of rates of a family may grow.
      step_scale: of every trial, as for `fit`.

    Returns:
      A `SearchResult`. A trial that diverged counts as minus infinity; the choice is one that did not.

    Raises:
      InputError: no family, a score step outside [1, num_steps], or every trial diverged.
    """
    scored = np.asarray([num_steps] if score_steps is None else list(score_steps), int)
    if not families or scored.size == 0 or scored.min() < 1 or scored.max() > num_steps:
        raise InputError(
            f'best_rate needs at least one family and score_steps within [1, num_steps = {num_steps}]; '
            f'got {len(families)} and {scored.tolist()}.'
        )
    trials: list[Trial] = []

    def score(trial: Trial) -> float:
        value = float(np.mean(trial.psnr_db[scored]))
        return value if math.isfinite(value) else -math.inf

    def attempt(name: str, rate: float) -> Trial:
        make = families[name].make
        fitted = fit_at_rate(inr, weights, datapoints, make=make, rate=rate, num_steps=num_steps, step_scale=step_scale)
        psnr = np.asarray(metrics.psnr_from_mse(fitted.mse, data_range))
        trials.append(Trial(name, rate, psnr.mean(axis=0), float((psnr[:, :1] - psnr).max())))
        return trials[-1]

    for name, family in families.items():
        tried = [attempt(name, rate) for rate in family.rates]
        for _ in range(max_extensions):
            best = max(tried, key=score)
            rates = [trial.rate for trial in tried]
            if best.rate == max(rates):
                tried.append(attempt(name, 2 * best.rate))
            elif best.rate == min(rates):
                tried.append(attempt(name, best.rate / 2))
            else:
                break
        middle = max(tried, key=score).rate
        for rate in (middle / math.sqrt(2), middle * math.sqrt(2)):
            attempt(name, rate)

    chosen = max(trials, key=score)
    if score(chosen) == -math.inf:
        raise InputError('every optimiser and rate diverged; offer lower rates, or check the data for NaN.')
    return SearchResult(chosen.name, chosen.rate, families[chosen.name].make(chosen.rate), tuple(trials))
