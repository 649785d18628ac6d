"""Evaluators measure a run during training, each at its own interval. Each file has a factory of `base.Evaluator`.

A run can have several evaluators. `hyperinr.training.watching.loggers` writes their findings; `stop_rules` and
`best_checkpoint` act on them. `hyperinr.evaluation` evaluates finished runs.

If an evaluator computes numbers from arrays alone, it is one function, see `base.traced`. To add an evaluator, write
one file with one factory, a line in ``gin_configs/evaluator/everything.gin`` and a test.
"""

from hyperinr.training.watching.evaluators.base import Evaluator, Findings, Measurement, Subject
from hyperinr.training.watching.evaluators.gradient_norms import gradient_norms
from hyperinr.training.watching.evaluators.held_out_psnr import held_out_psnr
from hyperinr.training.watching.evaluators.parameter_statistics import parameter_statistics
from hyperinr.training.watching.evaluators.reconstruction_grids import reconstruction_grids
from hyperinr.training.watching.evaluators.step_sizes import step_sizes
from hyperinr.training.watching.evaluators.weight_statistics import weight_statistics

__all__ = [
    'Evaluator',
    'Findings',
    'Measurement',
    'Subject',
    'gradient_norms',
    'held_out_psnr',
    'parameter_statistics',
    'reconstruction_grids',
    'step_sizes',
    'weight_statistics',
]
