"""How far the learned step sizes go, step by step."""

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.errors import InputError
from hyperinr.training.evaluators.base import Evaluator, Findings, Measurement, Subject, spread
from hyperinr.training.spans import span
from hyperinr.types import Array, Datapoint, Params, TrainState

__all__ = ['step_sizes']


def step_sizes(
    *, every: str = '1000 steps', num_datapoints: int = 4, split: str = 'validation', name: str = 'step_sizes'
) -> Evaluator:
    """Rates of each adaptation step, learned or predicted, of the moving average; one for each number of a code.

    Figures ``step_1/median``, ``step_1/smallest``, ``step_1/largest`` and so on; histogram ``step_1`` of their decimal
    logarithms. A weight that shares its rate with others counts as itself.

    Args:
      every: cadence.
      num_datapoints: that rates are predicted from, the same each time.
      split: of the dataset.
      name: of the evaluator.

    Raises:
      InputError: no such cadence; when the run starts: no such split, no datapoint, a learner without steps.
    """
    cadence = span(every)

    def prepare(subject: Subject) -> Measurement:
        learner = subject.learner
        if learner.num_steps == 0:
            raise InputError(f'the learner adapts in 0 steps, so there are no step sizes: take {name!r} out.')
        batch, _ = spread(subject, split, num_datapoints)

        def rates_of_steps(params: Params, datapoint: Datapoint) -> Array:
            """``[K, P]``."""
            context = learner.observe(jax.random.fold_in(jax.random.key(0), datapoint.index), datapoint)
            start = learner.hypernetwork.encode(params, context)

            def of_leaf(rates: Array, code: Array) -> Array:
                chosen = rates[jnp.minimum(jnp.arange(learner.num_steps), rates.shape[0] - 1)]
                return jnp.broadcast_to(chosen, (learner.num_steps, *code.shape)).reshape(learner.num_steps, -1)

            return jnp.concatenate(jax.tree.leaves(jax.tree.map(of_leaf, start.rates, start.code)), axis=1)

        rates = jax.jit(jax.vmap(rates_of_steps, (None, 0)))
        steps = [f'step_{step + 1}' for step in range(learner.num_steps)]

        def measure(state: TrainState) -> Findings:
            found = dict(zip(steps, np.moveaxis(np.asarray(rates(state.average, batch)), 1, 0), strict=True))
            figures = {}
            for step, each in found.items():
                figures[f'{step}/median'] = float(np.median(each))
                figures[f'{step}/smallest'], figures[f'{step}/largest'] = float(each.min()), float(each.max())
            return Findings(
                figures=figures,
                histograms={step: np.log10(each[each > 0]) for step, each in found.items() if (each > 0).any()},
            )

        figures = [f'{step}/{kind}' for step in steps for kind in ('median', 'smallest', 'largest')]
        return Measurement(tuple(figures), measure)

    return Evaluator(name, cadence, prepare)
