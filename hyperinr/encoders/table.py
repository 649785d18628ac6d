"""A table with one row for every datapoint of the training split (auto-decoder)."""

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder, Key, Params

__all__ = ['table']


@checked
def table(*, spec: DatasetSpec, embedding_dims: int = 256, initial_spread: float = 1.0) -> Encoder:
    """Make an encoder whose embedding is the row ``datapoint.row``. The values are not used.

    The outer optimiser learns the rows. This is the auto-decoder of Park, Florence, Straub, Newcombe and Lovegrove,
    "DeepSDF: learning continuous signed distance functions for shape representation" (2019), without their prior on the
    rows. A datapoint without a row, which training does not see, gets the mean of all rows. From there, adaptation or
    fine-tuning finds its own code.

    Args:
      spec: specification of the dataset, with the number of datapoints in the training split.
      embedding_dims: E.
      initial_spread: standard deviation of an initial row, > 0.

    Raises:
      ValueError: the number of datapoints is not known, or a size is not positive.
    """
    if spec.num_datapoints is None:
        raise InputError(
            f'a table needs a row for each datapoint, and {spec.name!r} does not say how many it has: set '
            'DatasetSpec.num_datapoints.'
        )
    check_positive('a table', embedding_dims=embedding_dims, initial_spread=initial_spread)
    rows = spec.num_datapoints

    def init(key: Key, datapoint: Datapoint) -> Params:
        del datapoint
        return {'rows': initial_spread * jax.random.normal(key, (rows, embedding_dims))}

    def apply(params: Params, datapoint: Datapoint) -> Array:
        mean = jnp.mean(params['rows'], axis=0)
        if datapoint.row is None:
            return mean
        row = jnp.asarray(datapoint.row)
        known = (row >= 0) & (row < rows)
        return jnp.where(known, params['rows'][jnp.clip(row, 0, rows - 1)], mean)

    return Encoder(init=init, apply=apply)
