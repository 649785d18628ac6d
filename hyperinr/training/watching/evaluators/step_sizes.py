"""Measure the learned step sizes of each adaptation step."""

import jax
import jax.numpy as jnp

from hyperinr.datasets.base import select
from hyperinr.errors import InputError
from hyperinr.meta_learning.observation import observed
from hyperinr.training.watching.evaluators.base import Evaluator, Subject, Summarise, Summary, traced
from hyperinr.types import Array, Datapoint, Params, TrainState

__all__ = ['step_sizes']


def step_sizes(
    *, every: str = '1000 steps', num_datapoints: int = 4, split: str = 'validation', name: str = 'step_sizes'
) -> Evaluator:
    """Measure the learned or predicted rates of each adaptation step, with the moving average of the parameters.

    The figures are ``step_1/median``, ``step_1/smallest``, ``step_1/largest`` and so on. The histogram ``step_1`` has
    the decimal logarithms of the rates. Each number of a code counts once, even if several numbers share a rate.

    Args:
      every: interval between two evaluations.
      num_datapoints: number of datapoints that rates are predicted from, the same each time.
      split: split of the dataset.
      name: name of the evaluator.

    Raises:
      InputError: ``every`` is not a length of training; when the run starts: the split does not exist or has no
        datapoint, or the learner has no steps.
    """

    def prepare(subject: Subject) -> tuple[Summarise, Datapoint]:
        learner = subject.learner
        if learner.num_steps == 0:
            raise InputError(f'the learner adapts in 0 steps, so there are no step sizes: take {name!r} out.')
        batch, _ = select(subject.dataset, split, num_datapoints)

        def rates_of_steps(params: Params, datapoint: Datapoint) -> Array:
            """Return the rates ``[K, P]`` of one datapoint."""
            start = learner.hypernetwork.encode(params, observed(learner, datapoint))

            def of_leaf(rates: Array, code: Array) -> Array:
                chosen = rates[jnp.minimum(jnp.arange(learner.num_steps), rates.shape[0] - 1)]
                return jnp.broadcast_to(chosen, (learner.num_steps, *code.shape)).reshape(learner.num_steps, -1)

            return jnp.concatenate(jax.tree.leaves(jax.tree.map(of_leaf, start.rates, start.code)), axis=1)

        def summarise(state: TrainState, batch: Datapoint) -> Summary:
            rates = jnp.moveaxis(jax.vmap(rates_of_steps, (None, 0))(state.average, batch), 1, 0)
            figures, histograms = {}, {}
            for step, each in enumerate(rates, 1):
                figures[f'step_{step}/median'] = jnp.median(each)
                figures[f'step_{step}/smallest'], figures[f'step_{step}/largest'] = jnp.min(each), jnp.max(each)
                histograms[f'step_{step}'] = jnp.log10(each)
            return figures, histograms

        return summarise, batch

    return traced(name, every, prepare)
