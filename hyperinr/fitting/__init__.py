"""Fitting INRs: many independent ones, from any start, with any optax optimiser.

`fit` takes a batch of weights and datapoints and returns the fitted batch with its error at every step; `fit_one` is
the same for a single INR, for use inside ``jax.jit``, ``jax.vmap`` and ``jax.lax.map``. `best_rate` finds the optimiser
and rate that suit a start best. The way there: `loss`, `quadratic_model` and `loop` (one INR), `subsampling`,
`precision`, `stopping`, `optimizers` and `conjugate_gradient` (what a loop may be told), `programs` (compiled over INRs
and devices), `schedule` (a batch of any size as calls of one shape), `batching` (which of these, and why), `engine`
(all together), `kernels` (hand-written steps for GPUs). What a start is, and rules of fine-tuning that were learned
with it, are `hyperinr.meta_learning`'s business. A further way of drawing points is one function that returns a
`Subsampling`; a further kernel one file in `kernels`.
"""

from hyperinr.fitting.batching import Batching, FitShape, choose_batching
from hyperinr.fitting.engine import automatic_batching, fit
from hyperinr.fitting.loop import FitResult, FitRules, check_record_steps, fit_one
from hyperinr.fitting.programs import map_datapoints
from hyperinr.fitting.search import FAMILIES, Family, SearchResult, Trial, best_rate, fit_at_rate
from hyperinr.fitting.stopping import Goal, Status, check_target
from hyperinr.fitting.subsampling import Subsampling, by_error, uniform

__all__ = [
    'FAMILIES',
    'Batching',
    'Family',
    'FitResult',
    'FitRules',
    'FitShape',
    'Goal',
    'SearchResult',
    'Status',
    'Subsampling',
    'Trial',
    'automatic_batching',
    'best_rate',
    'by_error',
    'check_record_steps',
    'check_target',
    'choose_batching',
    'fit',
    'fit_at_rate',
    'fit_one',
    'map_datapoints',
    'uniform',
]
