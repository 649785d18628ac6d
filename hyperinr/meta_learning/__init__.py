"""Hypernetwork x adaptation x meta-gradient -> `hyperinr.types.MetaLearner`; its outer optimisers, and fine-tuning.

What a datapoint is, how it is encoded and which INR it becomes is decided elsewhere and passed in. A learner is varied
by the functions that it is given: a loss (`losses`), a choice of points (`points`), an inner step (`adaptation`), a
meta-gradient (`meta_gradients`). Each has factories here. To add one: one factory beside the others, a row in
`tests/parts.py`; or any function of the same arguments, from anywhere.
"""

from hyperinr.meta_learning.adaptation import gradient_descent
from hyperinr.meta_learning.batch_adaptation import AdaptedBatch, adapt_batch, generate_batch, learned_metric
from hyperinr.meta_learning.finetuning import finetune
from hyperinr.meta_learning.learner import meta_learner
from hyperinr.meta_learning.losses import every_step, last_step, log_mse, mse
from hyperinr.meta_learning.meta_gradients import MetaGradient, reptile, unrolled
from hyperinr.meta_learning.optimizers import adam_cosine
from hyperinr.meta_learning.points import PointChoice, all_points, every_kth, largest_error_points, uniform_points

__all__ = [
    'AdaptedBatch',
    'MetaGradient',
    'PointChoice',
    'adam_cosine',
    'adapt_batch',
    'all_points',
    'every_kth',
    'every_step',
    'finetune',
    'generate_batch',
    'gradient_descent',
    'largest_error_points',
    'last_step',
    'learned_metric',
    'log_mse',
    'meta_learner',
    'mse',
    'reptile',
    'uniform_points',
    'unrolled',
]
