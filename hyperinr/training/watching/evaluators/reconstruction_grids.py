"""Draw reconstructions: a row for each datapoint, a column for each number of steps, and a column for the error."""

import logging
from collections.abc import Sequence

import numpy as np

from hyperinr.errors import InputError
from hyperinr.panels import error_panel, mosaic
from hyperinr.training.watching.evaluators.base import Evaluator, Findings, Measurement, Subject
from hyperinr.training.watching.evaluators.reconstruction import panels_of, reconstructor
from hyperinr.training.watching.spans import span
from hyperinr.types import TrainState

__all__ = ['reconstruction_grids']

SMALLEST_SIDE = 96
"""Minimum of a panel's shorter side in pixels: a 32 x 32 patch is shown three times as large."""
logger = logging.getLogger(__name__)


def reconstruction_grids(
    *,
    every: str = '1000 steps',
    num_datapoints: int = 8,
    split: str = 'validation',
    steps: Sequence[int] | None = None,
    error_gain: float = 5.0,
    name: str = 'reconstructions',
) -> Evaluator:
    """Draw the image ``grid``: the original, the moving average's reconstruction after each of ``steps``, and an error.

    Each is drawn as its kind is, by `hyperinr.panels.panel`. Scattered points cannot be drawn: nothing is measured.

    Args:
      every: interval between two evaluations.
      num_datapoints: maximum number of rows. The datapoints are the same each time, spread evenly over the split.
      split: split of the dataset.
      steps: adaptation steps of the columns, may exceed K; ``None``: 0, 1, ... K.
      error_gain: factor of the last column. That column shows the absolute error of the last reconstruction, as a
        fraction of the width of the data range.
      name: name of the evaluator.

    Raises:
      InputError: a value is outside its range; when the run starts: the split does not exist or has no datapoint.
    """
    if steps is not None and (len(steps) == 0 or min(steps) < 0):
        raise InputError(f'steps {tuple(steps)} must be numbers of adaptation steps, like (0, 1, 3).')
    if error_gain <= 0:
        raise InputError(f'error_gain must be positive, not {error_gain}.')

    def prepare(subject: Subject) -> Measurement:
        spec = subject.dataset.spec
        shape = spec.grid_shape
        if shape is None:
            logger.warning('%s: the points of %s lie on no grid, so that there is nothing to draw.', name, spec.name)
            return Measurement((), lambda state: Findings(figures={}))
        columns = tuple(range(subject.learner.num_steps + 1)) if steps is None else tuple(steps)
        reconstruct = reconstructor(
            subject, split=split, num_datapoints=num_datapoints, num_steps=max(columns), keep_steps=columns
        )

        def measure(state: TrainState) -> Findings:
            found = reconstruct(state.average)
            rows = panels_of(found, spec, len(found.psnr_db))
            for row, original, values in zip(rows, found.batch.values, found.values, strict=True):
                last, first = (np.reshape(each, (*shape, -1)) for each in (values[-1], original))
                row.append(error_panel(last, first, spec, gain=error_gain))
            grid = mosaic(rows, enlarge=-(-SMALLEST_SIDE // min(rows[0][0].shape[:2])), gap=2)
            return Findings(figures={}, images={'grid': grid})

        return Measurement((), measure)

    return Evaluator(name, span(every), prepare)
