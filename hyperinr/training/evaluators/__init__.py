"""What is measured during training, each on its own cadence: factories -> `base.Evaluator`, several of them in a run.

Here is what an evaluator finds; who is told of it is in `hyperinr.training.loggers`, what follows from it in
`hyperinr.training.stop_rules` and `best_checkpoint`. Evaluating a finished run is `hyperinr.training.evaluation`.

An evaluator that computes numbers from the state alone is one function, see `base.traced`. A new evaluator is one file
with one factory, a line in ``gin_configs/evaluator/everything.gin`` and a test in ``tests/training/evaluators``.
"""

from hyperinr.training.evaluators.base import Evaluator, Findings, Measurement, Subject
from hyperinr.training.evaluators.gradient_norms import gradient_norms
from hyperinr.training.evaluators.held_out_psnr import held_out_psnr
from hyperinr.training.evaluators.parameter_statistics import parameter_statistics
from hyperinr.training.evaluators.reconstruction_grids import reconstruction_grids
from hyperinr.training.evaluators.step_sizes import step_sizes
from hyperinr.training.evaluators.weight_statistics import weight_statistics

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
