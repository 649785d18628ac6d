"""A residual MLP over all values of a datapoint, for datasets whose datapoints all have the same points."""

import haiku as hk
import jax

from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.encoders.attention import normalize
from hyperinr.encoders.observations import grid_of, observations
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['dense']


@checked
def dense(*, spec: DatasetSpec, embedding_dims: int = 512, num_blocks: int = 2) -> Encoder:
    """Make an encoder of a linear map of the N x C values and residual blocks that start almost as the identity.

    The linear path reaches the embedding unchanged. So from the first update on, heads can learn what a linear decoder
    can: principal components of the signals. The blocks add what a linear decoder cannot. Coordinates are not used: all
    datapoints must have the same points in the same order.

    The values are scaled to [-1, 1]. Masked points (weight 0) are zero, and one more input per point marks them.

    Args:
      spec: specification of the dataset; its points must form a grid.
      embedding_dims: E.
      num_blocks: residual blocks ``h + W_2 silu(W_1 norm(h))``, >= 0.

    Returns:
      An `Encoder`.

    Raises:
      ValueError: the dataset has no grid, or a size is out of range.
    """
    grid_of(spec, 'the dense encoder')
    check_positive('the dense encoder', embedding_dims=embedding_dims)
    check_not_negative('the dense encoder', num_blocks=num_blocks)

    def forward(datapoint: Datapoint) -> Array:
        values, observed = observations(datapoint, spec)
        missing = 1 - observed.astype(values.dtype)
        hidden = hk.Linear(embedding_dims, name='values')(values.reshape(-1))
        hidden = hidden + hk.Linear(embedding_dims, with_bias=False, name='missing')(missing.reshape(-1))
        small = hk.initializers.RandomNormal(0.1 / embedding_dims**0.5)
        for block in range(num_blocks):
            branch = hk.Linear(embedding_dims, name=f'block_{block}_in')(normalize(hidden, f'block_{block}_norm'))
            branch = jax.nn.silu(branch)
            hidden = hidden + hk.Linear(embedding_dims, w_init=small, name=f'block_{block}_out')(branch)
        return hidden

    return Encoder(*hk.without_apply_rng(hk.transform(forward)))
