"""A learned vector for every class: the weights depend on the label alone."""

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder, Key, Params

__all__ = ['label_embedding']


@checked
def label_embedding(*, spec: DatasetSpec, embedding_dims: int = 256, initial_spread: float = 1.0) -> Encoder:
    """Make an encoder whose embedding is the learned vector of ``datapoint.label``: class-conditional generation.

    A hypernetwork then emits one start for a whole class, and the values do not change it. The adaptation specialises
    it to one datapoint.

    Args:
      spec: specification of a dataset with labels.
      embedding_dims: E.
      initial_spread: standard deviation of an initial vector, > 0.

    Raises:
      ValueError: a dataset without labels, or a size that is not positive.
    """
    if spec.num_labels is None:
        raise InputError(f'{spec.name!r} has no labels: use datasets.mnist_5k, or a tfds dataset that has some.')
    check_positive('a label_embedding', embedding_dims=embedding_dims, initial_spread=initial_spread)
    labels = spec.num_labels

    def init(key: Key, datapoint: Datapoint) -> Params:
        del datapoint
        return {'labels': initial_spread * jax.random.normal(key, (labels, embedding_dims))}

    def apply(params: Params, datapoint: Datapoint) -> Array:
        if datapoint.label is None:
            raise InputError('this model needs the label of every datapoint; set Datapoint.label.')
        return params['labels'][jnp.clip(jnp.asarray(datapoint.label), 0, labels - 1)]

    return Encoder(init=init, apply=apply)
