"""A residual convolutional encoder for datapoints on a grid of 1 to 3 axes."""

import haiku as hk

from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.encoders.observations import grid_of, marked_values
from hyperinr.encoders.residual import MOST_AXES, activated, convolution, residual_block
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['convolutional']


@checked
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
      spec: specification of the dataset; its grid has 1 to 3 axes.
      embedding_dims: E.
      base_channels: channels of the first stage; each further stage doubles them.
      num_stages: number of stages; each halves the grid.
      blocks_per_stage: residual blocks after each halving, >= 0.

    Returns:
      An `Encoder`.

    Raises:
      ValueError: the dataset has no grid of 1 to 3 axes, or a size is not positive.
    """
    grid = grid_of(spec, 'the convolutional encoder', MOST_AXES)
    sizes = {'embedding_dims': embedding_dims, 'base_channels': base_channels, 'num_stages': num_stages}
    check_positive('the convolutional encoder', **sizes)
    check_not_negative('the convolutional encoder', blocks_per_stage=blocks_per_stage)

    def forward(datapoint: Datapoint) -> Array:
        hidden = marked_values(datapoint, spec).reshape(*grid, -1)
        for stage in range(num_stages):
            channels = base_channels * 2**stage
            hidden = convolution(hidden, channels, f'stage_{stage}', stride=2)
            for block in range(blocks_per_stage):
                hidden = residual_block(hidden, channels, f'stage_{stage}_block_{block}')
        return hk.Linear(embedding_dims, name='embedding')(activated(hidden, 'output_norm').reshape(-1))

    return Encoder(*hk.without_apply_rng(hk.transform(forward)))
