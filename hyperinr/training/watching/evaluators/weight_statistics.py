"""What weights the hypernetwork emits, and how much they differ between datapoints."""

import jax
import jax.numpy as jnp

from hyperinr.datasets.base import select
from hyperinr.meta_learning.observation import observed
from hyperinr.training.watching.evaluators.base import (
    Evaluator,
    Subject,
    Summarise,
    Summary,
    traced,
)
from hyperinr.types import Datapoint, InrWeights, Params, TrainState

__all__ = ['weight_statistics']


def weight_statistics(
    *, every: str = '1000 steps', num_datapoints: int = 8, split: str = 'validation', name: str = 'weights'
) -> Evaluator:
    """Describe each tensor of the INRs' weights, as the moving average emits them before any adaptation step.

    Figures, for ``layer_0/w`` and so on: ``layer_0/w/deviation``, the standard deviation over all entries of all
    datapoints' tensors, and ``layer_0/w/spread``, the root mean square over entries of the standard deviation *between*
    datapoints. A spread that stays at 0 says that the hypernetwork ignores its input. Histogram ``layer_0/w``.

    Args:
      every: cadence.
      num_datapoints: at least 2 for a spread, the same each time.
      split: of the dataset.
      name: of the evaluator.

    Raises:
      InputError: no such cadence; when the run starts: no such split, no datapoint.
    """

    def prepare(subject: Subject) -> tuple[Summarise, Datapoint]:
        learner = subject.learner
        batch, _ = select(subject.dataset, split, num_datapoints)

        def emit(params: Params, datapoint: Datapoint) -> InrWeights:
            start = learner.hypernetwork.encode(params, observed(learner, datapoint))
            return learner.hypernetwork.decode(params, start.code)

        def summarise(state: TrainState, batch: Datapoint) -> Summary:
            emitted = jax.vmap(emit, (None, 0))(state.average, batch)
            values = {f'{layer}/{tensor}': leaf for layer, named in emitted.items() for tensor, leaf in named.items()}
            figures = {}
            for tensor, leaf in values.items():
                figures[f'{tensor}/deviation'] = jnp.std(leaf)
                figures[f'{tensor}/spread'] = jnp.sqrt(jnp.mean(jnp.var(leaf, axis=0)))
            return figures, values

        return summarise, batch

    return traced(name, every, prepare)
