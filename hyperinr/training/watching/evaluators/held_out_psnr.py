"""Measure the PSNR of held-out datapoints after each of the learner's adaptation steps."""

import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.panels import mosaic
from hyperinr.training.watching.evaluators.base import Evaluator, Findings, Measurement, Subject
from hyperinr.training.watching.evaluators.reconstruction import panels_of, reconstructor
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

    The figures are ``psnr_db_after_0_steps`` and so on. ``adapted_psnr_db`` is the last of them, under a name that does
    not depend on K. The curve is ``psnr_db``. The image ``original_0_K`` shows originals beside the first and the last
    reconstruction, as `hyperinr.panels.panel` draws their kind; scattered points have none.

    Args:
      every: interval between two evaluations: ``'200 steps'``, ``'30 seconds'`` of training or ``'1 epoch'``.
      num_datapoints: maximum number of datapoints, the same each time, spread evenly over the split.
      split: split of the dataset; ``'train'`` for a comparison with the training data.
      num_pictures: number of datapoints in the image, at no extra cost; 0: no image.
      name: name of the evaluator.

    Raises:
      InputError: ``every`` is not a length of training, or a number is negative; when the run starts: the split does
        not exist or has no datapoint.
      RunError: a measured PSNR is NaN.
    """
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
            number = 0 if spec.grid_shape is None else min(num_pictures, len(found.psnr_db))
            shown = ', '.join(f'{value:.2f}' for value in psnr)
            return Findings(
                figures={**dict(zip(names, map(float, psnr), strict=True)), 'adapted_psnr_db': float(psnr[-1])},
                curves={'psnr_db': psnr},
                images={'original_0_K': mosaic(panels_of(found, spec, number))} if number else {},
                line=f'{name} PSNR after 0..{num_steps} steps: {shown} dB',
            )

        return Measurement((*names, 'adapted_psnr_db'), measure)

    return Evaluator(name, span(every), prepare)
