"""Measure the norm of the outer gradient in each module."""

import jax
import optax

from hyperinr.errors import InputError
from hyperinr.training.devices import unpack
from hyperinr.training.watching.evaluators.base import Evaluator, Subject, Summarise, Summary, modules, traced
from hyperinr.types import Datapoint, TrainState

__all__ = ['gradient_norms']


def gradient_norms(*, every: str = '1000 steps', num_datapoints: int = 8, name: str = 'gradient_norms') -> Evaluator:
    """Measure the norm of the outer gradient, of each module and of all modules together.

    The figures are named by the modules; the figure of all modules is ``all``. A module whose figure is 0 receives no
    gradient. The datapoints are always the first ones of the run's first batch, so that only the parameters change. The
    random draws are those of the current step.

    Args:
      every: interval between two evaluations.
      num_datapoints: >= 1; at most the batch size is used.
      name: name of the evaluator.

    Raises:
      InputError: ``every`` is not a length of training, or there is no datapoint; when the run starts: the learner does
        not support this number of datapoints.
    """
    if num_datapoints < 1:
        raise InputError(f'{name} needs a datapoint: its num_datapoints is {num_datapoints}.')

    def prepare(subject: Subject) -> tuple[Summarise, Datapoint]:
        batch = jax.tree.map(lambda leaf: leaf[:num_datapoints], subject.batches(0))

        def summarise(state: TrainState, batch: Datapoint) -> Summary:
            gradient, _ = subject.learner.gradient(unpack(state), batch, batch)
            named = modules(gradient) | {'all': gradient}
            return {module: optax.tree.norm(leaves) for module, leaves in named.items()}, {}

        return summarise, batch

    return traced(name, every, prepare)
