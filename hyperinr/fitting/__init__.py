"""Fit many independent INRs from given weights, with any optax optimiser.

`fit` takes a batch of weights and datapoints and returns the fitted batch with its error at every step. `fit_one` does
the same for one INR, for use inside ``jax.jit``, ``jax.vmap`` and ``jax.lax.map``. `best_rate` finds the optimiser and
the learning rate that fit best from given starting weights.

The modules: `loss`, `quadratic_model` and `loop` fit one INR. `subsampling`, `precision`, `stopping`, `optimizers` and
`conjugate_gradient` are options of the loop. `programs` compiles it over INRs and devices. `schedule` cuts a batch of
any size into calls of one shape. `batching` chooses how INRs run together. `engine` combines all of these. `kernels`
has hand-written steps for GPUs. `large` fits one INR to a signal of any size. Generated starting weights and learned
rules of fine-tuning belong to `hyperinr.meta_learning`. To add a way of drawing points, write a function that returns a
`Subsampling`; to add a kernel, write one file in `kernels`.
"""

from hyperinr.fitting.batching import Batching, FitShape, bytes_kept_per_point, choose_batching
from hyperinr.fitting.engine import automatic_batching, fit
from hyperinr.fitting.large import LargeSignal, LargeState, fit_large
from hyperinr.fitting.loop import FitResult, FitRules, check_record_steps, fit_one
from hyperinr.fitting.programs import AtRate, map_datapoints
from hyperinr.fitting.search import FAMILIES, Family, SearchResult, Trial, best_rate
from hyperinr.fitting.stopping import Goal, Status, check_target
from hyperinr.fitting.subsampling import Subsampling, by_error, stratified, uniform

__all__ = [
    'FAMILIES',
    'AtRate',
    'Batching',
    'Family',
    'FitResult',
    'FitRules',
    'FitShape',
    'Goal',
    'LargeSignal',
    'LargeState',
    'SearchResult',
    'Status',
    'Subsampling',
    'Trial',
    'automatic_batching',
    'best_rate',
    'by_error',
    'bytes_kept_per_point',
    'check_record_steps',
    'check_target',
    'choose_batching',
    'fit',
    'fit_large',
    'fit_one',
    'map_datapoints',
    'stratified',
    'uniform',
]
