"""A deep residual network for datapoints on a grid of 1 to 3 axes."""

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.encoders.attention import normalize
from hyperinr.encoders.observations import grid_of, marked_values
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['MOST_AXES', 'activated', 'convolution', 'residual', 'residual_block']

MOST_AXES = 3
"""Most axes of a grid: cuDNN convolves along 1 to 3."""


@checked
def residual(
    *,
    spec: DatasetSpec,
    embedding_dims: int = 256,
    stage_channels: Sequence[int] = (32, 64, 128),
    blocks_per_stage: int = 2,
) -> Encoder:
    """Make a ResNet: a stem at full resolution, then stages that each halve the grid in their first block.

    He, Zhang, Ren and Sun, "Identity mappings in deep residual networks" (2016), figure 1 (b): ``x + f(x)`` with
    normalisation and activation before each of the two convolutions of ``f``, which span 3 points along each axis.
    Where the shape changes, a convolution of size 1 replaces ``x``. The normalisation is over channels, not over
    batches, since each datapoint is encoded alone. Compared with `encoders.convolutional` it is deeper, begins at full
    resolution and starts as the sum of its shortcuts. Masked points are zero, and one more input channel marks them.
    The last feature map is flattened, so that the embedding keeps positions.

    Args:
      spec: specification of the dataset; its grid has 1 to 3 axes.
      embedding_dims: E.
      stage_channels: channels of every stage; the grid is halved once per stage.
      blocks_per_stage: residual blocks, two convolutions each, >= 1.

    Raises:
      ValueError: the dataset has no grid of 1 to 3 axes, or a size is not positive.
    """
    grid = grid_of(spec, 'the residual encoder', MOST_AXES)
    sizes = {'embedding_dims': embedding_dims, 'blocks_per_stage': blocks_per_stage}
    check_positive('the residual encoder', **sizes, stage_channels=stage_channels or 0)

    def forward(datapoint: Datapoint) -> Array:
        hidden = convolution(marked_values(datapoint, spec).reshape(*grid, -1), stage_channels[0], 'stem')
        for stage, channels in enumerate(stage_channels):
            for block in range(blocks_per_stage):
                stride = 2 if block == 0 else 1
                hidden = residual_block(hidden, channels, f'stage_{stage}_block_{block}', stride=stride)
        return hk.Linear(embedding_dims, name='embedding')(activated(hidden, 'output_norm').reshape(-1))

    return Encoder(*hk.without_apply_rng(hk.transform(forward)))


def activated(hidden: Array, name: str) -> Array:
    """Return ``silu(norm(hidden))``, normalised over channels."""
    return jax.nn.silu(normalize(hidden, name))


def convolution(hidden: Array, channels: int, name: str, *, stride: int = 1, size: int = 3, w_init=None) -> Array:
    """Convolve one feature map, ``[*grid, C]`` -> ``[*grid / stride, channels]``."""
    num_axes = hidden.ndim - 1
    return hk.ConvND(num_axes, channels, size, stride=stride, w_init=w_init, name=name)(hidden[None])[0]


def residual_block(hidden: Array, channels: int, name: str, *, stride: int = 1) -> Array:
    """Apply ``x + f(x)``, which starts as the identity; a convolution of size 1 replaces ``x`` if the shape changes."""
    first = activated(hidden, f'{name}_norm_0')
    if stride != 1 or hidden.shape[-1] != channels:
        hidden = convolution(first, channels, f'{name}_shortcut', stride=stride, size=1)
    branch = convolution(first, channels, f'{name}_conv_0', stride=stride)
    return hidden + convolution(activated(branch, f'{name}_norm_1'), channels, f'{name}_conv_1', w_init=jnp.zeros)
