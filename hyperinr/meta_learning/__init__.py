"""Build a `hyperinr.types.MetaLearner` from a hypernetwork, an adaptation and a meta-gradient; fine-tune its output.

Datasets, encoders and INRs are defined elsewhere and passed in. A learner is built from functions: a loss (`losses`), a
choice of points (`points`), an inner step (`adaptation`) and a meta-gradient (`meta_gradients`). Each of these modules
has factories, and `optimizers` has the outer optimisers. To add a variant, write one factory beside the others and add
a row to `tests/parts.py`. Any other function with the same arguments works as well.
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
