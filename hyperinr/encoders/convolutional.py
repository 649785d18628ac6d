"""A residual convolutional encoder for datapoints on a two-dimensional grid."""

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.encoders.attention import normalize
from hyperinr.encoders.observations import marked_values
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['convolutional']


def convolutional(
    *,
    spec: DatasetSpec,
    embedding_dims: int = 256,
    base_channels: int = 16,
    num_stages: int = 3,
    blocks_per_stage: int = 1,
) -> Encoder:
    """Make an encoder of stride-2 convolutions with residual blocks between them.

    The residual blocks are those of He, Zhang, Ren and Sun, "Identity mappings in deep residual networks" (2016), with
    layer normalisation over channels. The values are scaled to [-1, 1]. Masked points (weight 0) are zero, and one more
    input channel marks them. The last feature map is flattened, not pooled, so that the embedding keeps positions.

    Args:
      spec: specification of the dataset; its grid must have two dimensions.
      embedding_dims: E.
      base_channels: channels of the first stage; each further stage doubles them.
      num_stages: number of stages; each halves the grid.
      blocks_per_stage: residual blocks after each halving, >= 0.

    Returns:
      An `Encoder`.

    Raises:
      ValueError: the dataset has no two-dimensional grid, or a size is not positive.
    """
    if spec.grid_shape is None or len(spec.grid_shape) != 2:
        raise ValueError(
            f'the convolutional encoder needs a two-dimensional grid; dataset {spec.name!r} has {spec.grid_shape}: '
            'use encoders.set_encoder.'
        )
    if min(embedding_dims, base_channels, num_stages) < 1 or blocks_per_stage < 0:
        raise ValueError(f'sizes must be positive: {embedding_dims=}, {base_channels=}, {num_stages=}.')
    height, width = spec.grid_shape

    def forward(datapoint: Datapoint) -> Array:
        hidden = marked_values(datapoint, spec).reshape(height, width, -1)
        for stage in range(num_stages):
            channels = base_channels * 2**stage
            hidden = hk.Conv2D(channels, 3, stride=2, name=f'stage_{stage}')(hidden[None])[0]
            for block in range(blocks_per_stage):
                hidden = hidden + _residual(hidden, channels, f'stage_{stage}_block_{block}')
        hidden = jax.nn.silu(normalize(hidden, 'output_norm'))
        return hk.Linear(embedding_dims, name='embedding')(hidden.reshape(-1))

    transformed = hk.without_apply_rng(hk.transform(forward))
    return Encoder(init=transformed.init, apply=transformed.apply)


def _residual(hidden: Array, channels: int, name: str) -> Array:
    branch = jax.nn.silu(normalize(hidden, f'{name}_norm_0'))
    branch = hk.Conv2D(channels, 3, name=f'{name}_conv_0')(branch[None])[0]
    branch = jax.nn.silu(normalize(branch, f'{name}_norm_1'))
    return hk.Conv2D(channels, 3, w_init=jnp.zeros, name=f'{name}_conv_1')(branch[None])[0]
