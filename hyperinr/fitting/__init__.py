"""Fitting INRs: many independent ones, from any start, with any optax optimiser.

`fit` takes a batch of weights and datapoints and returns the fitted batch with its error at every step; `fit_one` is
the same for a single INR, for composing with ``jax.vmap`` and ``jax.lax.map``. `best_rate` finds the optimiser and
rate that suit a start best. What a start is, and rules of fine-tuning that were learned with it, are
`hyperinr.meta_learning`'s business. A further engine is one file with a function of the signature of `fit`.
"""

from hyperinr.fitting.engine import FitResult, check_record_steps, fit, fit_function, fit_one, map_datapoints
from hyperinr.fitting.search import FAMILIES, Family, SearchResult, Trial, best_rate, fit_at_rate

__all__ = [
    'FAMILIES',
    'Family',
    'FitResult',
    'SearchResult',
    'Trial',
    'best_rate',
    'check_record_steps',
    'fit',
    'fit_at_rate',
    'fit_function',
    'fit_one',
    'map_datapoints',
]
