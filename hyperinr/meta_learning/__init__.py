"""Hypernetwork x adaptation x meta-gradient -> `hyperinr.types.MetaLearner`; its outer optimisers, and what follows it.

What a datapoint is, how it is encoded and which INR it becomes is decided elsewhere and passed in.
"""

from hyperinr.meta_learning.finetuning import finetune, gentle_adam, learned_metric
from hyperinr.meta_learning.learner import meta_learner
from hyperinr.meta_learning.optimizers import adam_cosine

__all__ = ['adam_cosine', 'finetune', 'gentle_adam', 'learned_metric', 'meta_learner']
