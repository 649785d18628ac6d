"""How large the hypernetwork's parameters are, module by module."""

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.training.evaluators.base import Evaluator, Findings, Measurement, Subject, by_module
from hyperinr.training.spans import span
from hyperinr.types import Array, Params, TrainState

__all__ = ['parameter_statistics']


def parameter_statistics(*, every: str = '1000 steps', histograms: bool = True, name: str = 'parameters') -> Evaluator:
    """Of each module: figures ``module/norm``, ``module/deviation``, ``module/largest``, and a histogram.

    Args:
      every: cadence.
      histograms: whether the values themselves are handed to the loggers.
      name: of the evaluator.

    Raises:
      InputError: no such cadence.
    """
    cadence = span(every)

    def prepare(subject: Subject) -> Measurement:
        modules = list(by_module(subject.like.params))

        @jax.jit
        def statistics(params: Params) -> dict[str, Array]:
            found = {}
            for module, leaves in by_module(params).items():
                values = jnp.concatenate([jnp.ravel(leaf) for _, leaf in leaves])
                found[f'{module}/norm'] = jnp.linalg.norm(values)
                found[f'{module}/deviation'] = jnp.std(values)
                found[f'{module}/largest'] = jnp.max(jnp.abs(values))
            return found

        def measure(state: TrainState) -> Findings:
            found = {figure: float(value) for figure, value in statistics(state.params).items()}
            values = {
                module: np.concatenate([np.ravel(leaf) for _, leaf in leaves])
                for module, leaves in by_module(state.params).items()
            }
            return Findings(figures=found, histograms=values if histograms else {})

        figures = [f'{module}/{kind}' for module in modules for kind in ('norm', 'deviation', 'largest')]
        return Measurement(tuple(figures), measure)

    return Evaluator(name, cadence, prepare)
