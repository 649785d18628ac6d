"""The encoder that looks at nothing: with it, a hypernetwork is a learned start shared by all datapoints (MAML)."""

import jax.numpy as jnp

from hyperinr.types import DatasetSpec, Encoder

__all__ = ['constant']


def constant(*, spec: DatasetSpec) -> Encoder:
    """An embedding of no dimensions, ``[0]``, whatever the datapoint.

    What is left of a hypernetwork is then its base INR: Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast
    adaptation of deep networks" (2017); with learned rates Li et al., "Meta-SGD" (2017).

    Args:
      spec: of the dataset; nothing of it is used.
    """
    del spec
    return Encoder(init=lambda key, datapoint: {}, apply=lambda params, datapoint: jnp.zeros((0,)))
