"""Measure the weights that the hypernetwork generates, and their differences between datapoints."""

import jax
import jax.numpy as jnp

from hyperinr.datasets.base import select
from hyperinr.meta_learning.observation import observed
from hyperinr.training.watching.evaluators.base import Evaluator, Subject, Summarise, Summary, traced
from hyperinr.types import Datapoint, InrWeights, Params, TrainState

__all__ = ['weight_statistics']


def weight_statistics(
    *, every: str = '1000 steps', num_datapoints: int = 8, split: str = 'validation', name: str = 'weights'
) -> Evaluator:
    """Measure each tensor of the INRs' weights, as the moving average generates it before the first adaptation step.

    The figures of a tensor ``layer_0/w`` are ``layer_0/w/deviation`` and ``layer_0/w/spread``. The deviation is the
    standard deviation over all entries of all datapoints' tensors. The spread is the root mean square over entries of
    the standard deviation *between* datapoints. If the spread stays at 0, the hypernetwork ignores its input. The
    histogram is ``layer_0/w``.

    Args:
      every: interval between two evaluations.
      num_datapoints: number of datapoints, the same each time; at least 2 for a spread.
      split: split of the dataset.
      name: name of the evaluator.

    Raises:
      InputError: ``every`` is not a length of training; when the run starts: the split does not exist or has no
        datapoint.
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
