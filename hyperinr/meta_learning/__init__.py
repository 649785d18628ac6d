"""Hypernetwork x adaptation x meta-gradient -> `hyperinr.types.MetaLearner`; its outer optimisers, and what follows it.

What a datapoint is, how it is encoded and which INR it becomes is decided elsewhere and passed in.
"""

from hyperinr.meta_learning.finetuning import finetune
from hyperinr.meta_learning.learner import meta_learner
from hyperinr.meta_learning.optimizers import adam_cosine
from hyperinr.meta_learning.own_steps import OwnSteps, generate_batch, learned_metric, take_own_steps

__all__ = [
    'OwnSteps',
    'adam_cosine',
    'finetune',
    'generate_batch',
    'learned_metric',
    'meta_learner',
    'take_own_steps',
]
