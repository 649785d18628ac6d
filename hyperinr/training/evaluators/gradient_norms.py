"""Which modules the outer gradient reaches, and how strongly."""

import jax
import jax.numpy as jnp

from hyperinr.errors import InputError
from hyperinr.training.devices import pack, unpack
from hyperinr.training.evaluators.base import Evaluator, Findings, Measurement, Subject, by_module
from hyperinr.training.spans import span
from hyperinr.types import Array, Datapoint, TrainState

__all__ = ['gradient_norms']


def gradient_norms(*, every: str = '1000 steps', num_datapoints: int = 8, name: str = 'gradient_norms') -> Evaluator:
    """Norm of the outer gradient of each module, a figure of the module's name, and of all together, ``all``.

    Of the first datapoints of the run's first batch each time, so that what changes is the parameters, and with the
    randomness of the step at hand. A module at 0 receives no gradient.

    Args:
      every: cadence.
      num_datapoints: >= 1; at most the batch size.
      name: of the evaluator.

    Raises:
      InputError: no such cadence, no datapoint; when the run starts: a number that the learner cannot take.
    """
    cadence = span(every)
    if num_datapoints < 1:
        raise InputError(f'{name} needs a datapoint: its num_datapoints is {num_datapoints}.')

    def prepare(subject: Subject) -> Measurement:
        batch = jax.tree.map(lambda leaf: leaf[:num_datapoints], subject.batches(0))

        @jax.jit
        def norms(state: TrainState, batch: Datapoint) -> dict[str, Array]:
            gradient, _ = subject.learner.gradient(unpack(state), batch, batch)
            squares = {
                module: sum((jnp.sum(jnp.square(leaf)) for _, leaf in leaves), jnp.zeros(()))
                for module, leaves in by_module(gradient).items()
            }
            return {name: jnp.sqrt(square) for name, square in (squares | {'all': sum(squares.values())}).items()}

        def read(state: TrainState) -> TrainState:
            return state._replace(opt_state=None, average=None)

        try:
            jax.eval_shape(norms, jax.eval_shape(pack, read(subject.like)), batch)
        except ValueError as error:
            raise InputError(f'{name}: {error} Choose another gradient_norms.num_datapoints.') from error

        def measure(state: TrainState) -> Findings:
            return Findings(figures={module: float(norm) for module, norm in norms(read(state), batch).items()})

        return Measurement((*by_module(subject.like.params), 'all'), measure)

    return Evaluator(name, cadence, prepare)
