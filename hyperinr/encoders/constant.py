"""The encoder without an input: it makes a hypernetwork a learned start that all datapoints share (MAML)."""

import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.types import DatasetSpec, Encoder

__all__ = ['constant']


@checked
def constant(*, spec: DatasetSpec) -> Encoder:
    """Make an encoder whose embedding has no dimensions, ``[0]``, for every datapoint.

    A hypernetwork then has only its base INR: Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast
    adaptation of deep networks" (2017); with learned rates Li et al., "Meta-SGD" (2017).

    Args:
      spec: specification of the dataset; not used.
    """
    del spec
    return Encoder(init=lambda key, datapoint: {}, apply=lambda params, datapoint: jnp.zeros((0,)))
