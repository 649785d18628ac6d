"""How well held-out datapoints are reconstructed, along the learner's own adaptation steps."""

import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.training.watching.evaluators.base import Evaluator, Findings, Measurement, Subject
from hyperinr.training.watching.evaluators.reconstruction import (
    has_pictures,
    pictures,
    reconstructor,
    sheet,
)
from hyperinr.training.watching.spans import span
from hyperinr.types import TrainState

__all__ = ['held_out_psnr']


def held_out_psnr(
    *,
    every: str = '200 steps',
    num_datapoints: int = 64,
    split: str = 'validation',
    num_pictures: int = 8,
    name: str = 'validation',
) -> Evaluator:
    """Measure the mean PSNR in dB of the moving average's reconstructions after 0, 1, ... K adaptation steps.

    Figures ``psnr_db_after_0_steps`` and so on, and ``adapted_psnr_db``, the last of them by a name that every K has;
    curve ``psnr_db``; image ``original_0_K``: originals beside the first and last reconstruction.

    Args:
      every: cadence, ``'200 steps'``, ``'30 seconds'`` of training or ``'1 epoch'``.
      num_datapoints: at most, the same each time, spread evenly over the split.
      split: of the dataset; ``'train'`` shows how far the two are apart.
      num_pictures: datapoints in the image, which costs nothing extra; 0 for none.
      name: of the evaluator.

    Raises:
      InputError: no such cadence, a negative number; when the run starts: no such split, no datapoint.
      RunError: while measuring: a PSNR that is not a number.
    """
    cadence = span(every)
    if num_pictures < 0:
        raise InputError(f'num_pictures must be at least 0, not {num_pictures}.')

    def prepare(subject: Subject) -> Measurement:
        spec, num_steps = subject.dataset.spec, subject.learner.num_steps
        reconstruct = reconstructor(
            subject, split=split, num_datapoints=num_datapoints, num_steps=num_steps, keep_steps=(0, num_steps)
        )
        names = [f'psnr_db_after_{step}_steps' for step in range(num_steps + 1)]

        def measure(state: TrainState) -> Findings:
            found = reconstruct(state.average)
            psnr = found.psnr_db.mean(axis=0)
            if np.isnan(psnr).any():
                raise RunError(
                    f'{name} after step {int(state.step)} gave a PSNR that is not a number after '
                    f'{int(np.isnan(psnr).argmax())} adaptation steps; lower the learning rate or the inner rates, and '
                    'start a new run.'
                )
            number = min(num_pictures, len(found.psnr_db)) if has_pictures(spec) else 0
            shown = ', '.join(f'{value:.2f}' for value in psnr)
            return Findings(
                figures={**dict(zip(names, map(float, psnr), strict=True)), 'adapted_psnr_db': float(psnr[-1])},
                curves={'psnr_db': psnr},
                images={'original_0_K': sheet(pictures(found, spec, number))} if number else {},
                line=f'{name} PSNR after 0..{num_steps} steps: {shown} dB',
            )

        return Measurement((*names, 'adapted_psnr_db'), measure)

    return Evaluator(name, cadence, prepare)
