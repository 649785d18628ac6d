"""How far the learned step sizes go, step by step."""

import jax
import jax.numpy as jnp

from hyperinr.datasets.base import select
from hyperinr.errors import InputError
from hyperinr.meta_learning.observation import observed
from hyperinr.training.watching.evaluators.base import (
    Evaluator,
    Subject,
    Summarise,
    Summary,
    traced,
)
from hyperinr.types import Array, Datapoint, Params, TrainState

__all__ = ['step_sizes']


def step_sizes(
    *, every: str = '1000 steps', num_datapoints: int = 4, split: str = 'validation', name: str = 'step_sizes'
) -> Evaluator:
    """Describe the learned or predicted rates of each adaptation step of the moving average.

    Figures ``step_1/median``, ``step_1/smallest``, ``step_1/largest`` and so on; histogram ``step_1`` of their decimal
    logarithms. Each number of a code has a rate. A weight that shares its rate with others counts as itself.

    Args:
      every: cadence.
      num_datapoints: that rates are predicted from, the same each time.
      split: of the dataset.
      name: of the evaluator.

    Raises:
      InputError: no such cadence; when the run starts: no such split, no datapoint, a learner without steps.
    """

    def prepare(subject: Subject) -> tuple[Summarise, Datapoint]:
        learner = subject.learner
        if learner.num_steps == 0:
            raise InputError(f'the learner adapts in 0 steps, so there are no step sizes: take {name!r} out.')
        batch, _ = select(subject.dataset, split, num_datapoints)

        def rates_of_steps(params: Params, datapoint: Datapoint) -> Array:
            """``[K, P]``."""
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
