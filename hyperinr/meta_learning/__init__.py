"""Hypernetwork x adaptation x meta-gradient -> `hyperinr.types.MetaLearner`, and the optimisers of its outer loss.

What a datapoint is, how it is encoded and which INR it becomes is decided elsewhere and passed in.
"""

from hyperinr.meta_learning.learner import meta_learner
from hyperinr.meta_learning.optimizers import adam_cosine

__all__ = ['adam_cosine', 'meta_learner']
