"""Choose the few datapoints that the second and third stage judge on: some of middle difficulty, and a hard one."""

import itertools
from collections.abc import Sequence

import numpy as np

from hyperinr.checking.data import Named, evenly, is_sound
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['difficulty', 'few']

MAX_RANKED = 64
"""Most datapoints that are ranked. Takes half a second for pictures of 32 x 32."""
QUANTILES = (0.5, 0.9, 0.4, 0.6)
"""Ranks of the chosen datapoints, from the easiest at 0 to the hardest at 1. Four: two cores share them evenly. A batch
of fewer has the first alone."""
DEGREE = 3
"""Degree of the polynomial whose error is the difficulty. A cubic follows shading, and no edge or texture."""


def difficulty(datapoint: Datapoint) -> float:
    """Return the root mean square of what the best polynomial of the coordinates leaves of the values.

    Unlike the spread of the values it is small for a slope, which every INR fits, and it needs no grid.
    """
    counted = np.asarray(datapoint.weight) > 0
    coords, values = (np.asarray(each, np.float64)[counted] for each in (datapoint.coords, datapoint.values))
    columns = [np.ones(len(coords))]
    for degree in range(1, DEGREE + 1):
        for axes in itertools.combinations_with_replacement(range(coords.shape[1]), degree):
            columns.append(coords[:, axes].prod(axis=1))
    # At least four points for each term, so that few points are not simply interpolated.
    terms = np.stack(columns[: max(1, len(coords) // 4)], axis=1)
    return float(np.sqrt(np.mean(np.square(values - terms @ np.linalg.lstsq(terms, values)[0]))))


def few(seen: Sequence[Named], spec: DatasetSpec) -> list[Named]:
    """Return the datapoints at the `QUANTILES` of difficulty, without repetition.

    Raises:
      InputError: no datapoint is sound.
    """
    sound = evenly([each for each in seen if is_sound(each.datapoint, spec)], MAX_RANKED)
    if not sound:
        raise InputError(f'no training datapoint of {spec.name!r} is sound; `hyperinr check --stages 1` says why.')
    order = np.argsort([difficulty(each.datapoint) for each in sound], kind='stable')
    ranks = dict.fromkeys(round(quantile * (len(order) - 1)) for quantile in QUANTILES)
    return [sound[int(order[rank])] for rank in ranks]
