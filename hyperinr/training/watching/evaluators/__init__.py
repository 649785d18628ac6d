"""What is measured during training, each on its own cadence: factories -> `base.Evaluator`, several of them in a run.

Here is what an evaluator finds. `hyperinr.training.watching.loggers` writes it down, `stop_rules` and `best_checkpoint`
act on it. Evaluating a finished run is `hyperinr.evaluation`.

An evaluator that computes numbers from the state alone is one function, see `base.traced`. A new evaluator is one file
with one factory, a line in ``gin_configs/evaluator/everything.gin`` and a test beside those of the others.
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
