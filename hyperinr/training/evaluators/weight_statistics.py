"""What weights the hypernetwork emits, and how much they differ between datapoints."""

import jax
import numpy as np

from hyperinr.training.evaluators.base import Evaluator, Findings, Measurement, Subject, spread
from hyperinr.training.spans import span
from hyperinr.types import Datapoint, InrWeights, Params, TrainState

__all__ = ['weight_statistics']


def weight_statistics(
    *, every: str = '1000 steps', num_datapoints: int = 8, split: str = 'validation', name: str = 'weights'
) -> Evaluator:
    """Of each tensor of the INRs' weights, as the moving average emits them before any adaptation step.

    Figures, for ``layer_0/w`` and so on: ``layer_0/w/deviation``, the standard deviation over all entries of all
    datapoints' tensors, and ``layer_0/w/spread``, the root mean square over entries of the standard deviation *between*
    datapoints. A spread that stays at 0 says that the hypernetwork does not look at its input. Histogram ``layer_0/w``.

    Args:
      every: cadence.
      num_datapoints: at least 2 for a spread, the same each time.
      split: of the dataset.
      name: of the evaluator.

    Raises:
      InputError: no such cadence; when the run starts: no such split, no datapoint.
    """
    cadence = span(every)

    def prepare(subject: Subject) -> Measurement:
        learner = subject.learner
        batch, _ = spread(subject, split, num_datapoints)

        def emit(params: Params, datapoint: Datapoint) -> InrWeights:
            context = learner.observe(jax.random.fold_in(jax.random.key(0), datapoint.index), datapoint)
            return learner.hypernetwork.decode(params, learner.hypernetwork.encode(params, context).code)

        emit_all = jax.jit(jax.vmap(emit, (None, 0)))
        shapes = jax.eval_shape(emit_all, subject.like.params, batch)
        tensors = [f'{layer}/{tensor}' for layer, named in shapes.items() for tensor in named]

        def measure(state: TrainState) -> Findings:
            emitted = jax.tree.map(np.asarray, emit_all(state.average, batch))
            values = {f'{layer}/{tensor}': leaf for layer, named in emitted.items() for tensor, leaf in named.items()}
            figures = {}
            for tensor, leaf in values.items():
                figures[f'{tensor}/deviation'] = float(np.std(leaf))
                figures[f'{tensor}/spread'] = float(np.sqrt(np.mean(np.var(leaf, axis=0))))
            return Findings(figures=figures, histograms={tensor: np.ravel(leaf) for tensor, leaf in values.items()})

        figures = [f'{tensor}/{kind}' for tensor in tensors for kind in ('deviation', 'spread')]
        return Measurement(tuple(figures), measure)

    return Evaluator(name, cadence, prepare)
