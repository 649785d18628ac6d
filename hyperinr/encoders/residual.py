"""A deep residual network for datapoints on a two-dimensional grid."""

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.encoders.attention import normalize
from hyperinr.encoders.observations import marked_values
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['residual']


def residual(
    *,
    spec: DatasetSpec,
    embedding_dims: int = 256,
    stage_channels: Sequence[int] = (32, 64, 128),
    blocks_per_stage: int = 2,
) -> Encoder:
    """Make a ResNet: a stem at full resolution, then stages that each halve the grid in their first block.

    He, Zhang, Ren and Sun, "Identity mappings in deep residual networks" (2016), figure 1 (b): ``x + f(x)`` with
    normalisation and activation before each of the two convolutions of ``f``. Where the shape changes, a 1 x 1
    convolution replaces ``x``. The normalisation is over channels, not over batches, since each datapoint is encoded
    alone. Compared with `encoders.convolutional` it is deeper, begins at full resolution and starts as the sum of its
    shortcuts. Masked points are zero, and one more input channel marks them. The last feature map is flattened, so that
    the embedding keeps positions.

    Args:
      spec: specification of the dataset; its grid must have two dimensions.
      embedding_dims: E.
      stage_channels: channels of every stage; the grid is halved once per stage.
      blocks_per_stage: residual blocks, two convolutions each, >= 1.

    Raises:
      ValueError: the dataset has no two-dimensional grid, or a size is not positive.
    """
    grid = spec.grid_shape
    if grid is None or len(grid) != 2:
        raise ValueError(
            f'the residual encoder needs a two-dimensional grid; dataset {spec.name!r} has {grid}: '
            'use encoders.set_encoder or encoders.set_transformer.'
        )
    if min(embedding_dims, blocks_per_stage, *stage_channels, len(stage_channels)) < 1:
        raise ValueError(f'sizes must be positive: {embedding_dims=}, {stage_channels=}, {blocks_per_stage=}.')

    def forward(datapoint: Datapoint) -> Array:
        hidden = _convolution(marked_values(datapoint, spec).reshape(*grid, -1), stage_channels[0], 'stem')
        for stage, channels in enumerate(stage_channels):
            for block in range(blocks_per_stage):
                hidden = _block(hidden, channels, 2 if block == 0 else 1, f'stage_{stage}_block_{block}')
        return hk.Linear(embedding_dims, name='embedding')(_activate(hidden, 'output_norm').reshape(-1))

    transformed = hk.without_apply_rng(hk.transform(forward))
    return Encoder(init=transformed.init, apply=transformed.apply)


def _activate(hidden: Array, name: str) -> Array:
    return jax.nn.silu(normalize(hidden, name))


def _convolution(hidden: Array, channels: int, name: str, *, stride: int = 1, size: int = 3, w_init=None) -> Array:
    return hk.Conv2D(channels, size, stride=stride, w_init=w_init, name=name)(hidden[None])[0]


def _block(hidden: Array, channels: int, stride: int, name: str) -> Array:
    activated = _activate(hidden, f'{name}_norm_0')
    if stride != 1 or hidden.shape[-1] != channels:
        hidden = _convolution(activated, channels, f'{name}_shortcut', stride=stride, size=1)
    branch = _convolution(activated, channels, f'{name}_conv_0', stride=stride)
    return hidden + _convolution(_activate(branch, f'{name}_norm_1'), channels, f'{name}_conv_1', w_init=jnp.zeros)
