"""Search the best optimiser and learning rate for given starting weights: a fair baseline for learned starts."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optax

from hyperinr import metrics
from hyperinr.errors import InputError
from hyperinr.fitting.engine import fit
from hyperinr.fitting.programs import AtRate
from hyperinr.types import Array, Datapoint, Inr, InrWeights

__all__ = ['FAMILIES', 'Family', 'SearchResult', 'Trial', 'best_rate', 'climbed']


class Family(NamedTuple):
    """An optimiser with a free learning rate.

    Attributes:
      make: ``rate -> optax.GradientTransformation``; the rate may be traced.
      rates: increasing rates that the search tries first. It goes on beyond either end while that end is the best.
    """

    make: Callable[[float | Array], optax.GradientTransformation]
    rates: tuple[float, ...]


FAMILIES: Mapping[str, Family] = {
    'adam': Family(lambda rate: optax.adam(rate), (5e-4, 1e-3, 2e-3, 4e-3)),
    'momentum': Family(lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True), (1e-2, 3e-2, 1e-1)),
}
"""The optimisers for a random start: Adam, and gradient descent with Nesterov momentum 0.9."""


class Trial(NamedTuple):
    """One optimiser and rate that was tried.

    Attributes:
      name: name of the family.
      rate: learning rate.
      psnr_db: ``[num_steps + 1]``, mean over the datapoints of the PSNR after 0, 1, ... steps.
      deepest_fall_db: largest fall of a datapoint's PSNR below its PSNR at the start, over all datapoints and steps,
        >= 0; NaN if a datapoint diverged.
    """

    name: str
    rate: float
    psnr_db: np.ndarray
    deepest_fall_db: float

    def steps_to_reach(self, psnr_db: float) -> int | None:
        """Return the fewest steps after which the mean PSNR is at least ``psnr_db``; ``None`` if it never is."""
        reached = np.flatnonzero(self.psnr_db >= psnr_db)
        return int(reached[0]) if reached.size else None


class SearchResult(NamedTuple):
    """The chosen optimiser, and all trials.

    Attributes:
      name: name of the chosen family.
      rate: the chosen learning rate.
      optimizer: the optimiser at this rate.
      trials: all trials, in the order in which they ran.
    """

    name: str
    rate: float
    optimizer: optax.GradientTransformation
    trials: tuple[Trial, ...]

    def fastest_to(self, psnr_db: float) -> Trial | None:
        """Return the trial that reached ``psnr_db`` in the fewest steps; ``None`` if no trial did."""
        steps = [trial.steps_to_reach(psnr_db) for trial in self.trials]
        reached = [(count, position) for position, count in enumerate(steps) if count is not None]
        return self.trials[min(reached)[1]] if reached else None


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
    """Find the optimiser and rate with the highest mean PSNR over ``score_steps``.

    For each family the search first tries ``rates``. While the best rate is at an end of the tried range, it tries
    twice or half that rate. Finally it multiplies and divides the best rate by the square root of 2. Search and
    evaluate on different datapoints.

    Args:
      inr: evaluates the weights.
      weights: the starts, leaves ``[B, ...]``.
      datapoints: leaves ``[B, ...]``.
      num_steps: steps of every trial, >= 1.
      data_range: ``(low, high)`` of the values, for the PSNR.
      score_steps: step counts in [1, num_steps] that the score averages over; ``None``: the last step only.
      families: name -> `Family`.
      max_extensions: maximum number of rates tried beyond the ends of a family's ``rates``.
      step_scale: step scale of every trial, as for `fit`.

    Returns:
      A `SearchResult`. The score of a diverged trial is minus infinity, so it is never chosen.

    Raises:
      InputError: there is no family, a score step is outside [1, num_steps], or every trial diverged.
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
        optimizer = AtRate(families[name].make, rate)
        fitted = fit(inr, weights, datapoints, optimizer=optimizer, num_steps=num_steps, step_scale=step_scale)
        psnr = np.asarray(metrics.psnr_from_mse(fitted.mse, data_range))
        trials.append(Trial(name, rate, psnr.mean(axis=0), float((psnr[:, :1] - psnr).max())))
        return trials[-1]

    for name, family in families.items():

        def score_at(rate: float, name: str = name) -> float:
            return score(attempt(name, rate))

        tried = climbed(family.rates, score_at, max_extensions)
        middle = max(tried, key=tried.__getitem__)
        for rate in (middle / math.sqrt(2), middle * math.sqrt(2)):
            attempt(name, rate)

    chosen = max(trials, key=score)
    if score(chosen) == -math.inf:
        raise InputError('every optimiser and rate diverged; try lower rates, or check the data for NaN.')
    return SearchResult(chosen.name, chosen.rate, families[chosen.name].make(chosen.rate), tuple(trials))


def climbed(rates: Sequence[float], score: Callable[[float], float], max_extensions: int) -> dict[float, float]:
    """Score some rates, and go on by factors of two beyond either end while that end is the best.

    Args:
      rates: increasing.
      score: the higher, the better.
      max_extensions: most rates tried beyond the ends.

    Returns:
      Rate -> score, in the order of the trials.

    Example:
      >>> climbed((1.0, 2.0), lambda rate: 4.0 - abs(rate - 4.0), 5)
      {1.0: 1.0, 2.0: 2.0, 4.0: 4.0, 8.0: 0.0}
    """
    scores = {rate: score(rate) for rate in rates}
    for _ in range(max_extensions):
        best = max(scores, key=scores.__getitem__)
        if best == max(scores):
            scores[2 * best] = score(2 * best)
        elif best == min(scores):
            scores[best / 2] = score(best / 2)
        else:
            break
    return scores
