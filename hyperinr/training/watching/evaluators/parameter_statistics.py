"""Measure the size of the hypernetwork's parameters in each module."""

import jax.numpy as jnp

from hyperinr.training.watching.evaluators.base import Evaluator, Summary, modules, traced
from hyperinr.types import TrainState

__all__ = ['parameter_statistics']


def parameter_statistics(*, every: str = '1000 steps', histograms: bool = True, name: str = 'parameters') -> Evaluator:
    """Measure the parameters of each module.

    The figures are ``module/norm``, ``module/deviation`` (the standard deviation) and ``module/largest`` (the largest
    absolute value). The histogram has the values.

    Args:
      every: interval between two evaluations.
      histograms: whether the loggers get the values.
      name: name of the evaluator.

    Raises:
      InputError: ``every`` is not a length of training.
    """

    def summarise(state: TrainState, batch: None) -> Summary:
        named = modules(state.params).items()
        values = {module: jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]) for module, leaves in named}
        figures = {}
        for module, each in values.items():
            figures[f'{module}/norm'] = jnp.linalg.norm(each)
            figures[f'{module}/deviation'] = jnp.std(each)
            figures[f'{module}/largest'] = jnp.max(jnp.abs(each))
        return figures, values if histograms else {}

    return traced(name, every, lambda subject: (summarise, None))
