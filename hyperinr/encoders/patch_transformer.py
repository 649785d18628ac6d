"""A transformer over the patches of a grid."""

import math

import haiku as hk
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.encoders.attention import check_heads, self_attention, token_embedding, tokens_of
from hyperinr.encoders.observations import grid_of, marked_values
from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['patch_transformer']


@checked
def patch_transformer(
    *,
    spec: DatasetSpec,
    embedding_dims: int = 1024,
    patch_size: int = 4,
    width: int = 128,
    depth: int = 4,
    num_heads: int = 4,
) -> Encoder:
    """Make a vision transformer whose embedding is the sequence of its tokens.

    Dosovitskiy et al., "An image is worth 16 x 16 words: transformers for image recognition at scale" (2021), eq. 1 to
    4, without a class token. Each of the T patches gives ``E / T`` numbers, so that the embedding keeps positions, and
    a hypernetwork that takes tokens (`hypernetworks.weight_tokens`) can separate them again. Masked points are zero,
    and one more channel marks them. An axis that is no multiple of ``patch_size`` is continued by masked points.

    Args:
      spec: specification of the dataset, with a grid of any number of axes.
      embedding_dims: E, a multiple of the number of patches.
      patch_size: points along every axis of a patch.
      width: width of the transformer, a multiple of ``num_heads``.
      depth: number of blocks, >= 1.
      num_heads: heads of the attention.

    Raises:
      ValueError: the dataset has no grid, or sizes do not fit the grid or each other.
    """
    grid = grid_of(spec, 'the patch transformer')
    check_positive('the patch transformer', embedding_dims=embedding_dims, patch_size=patch_size, depth=depth)
    check_heads('the patch transformer', width, num_heads)
    counts = [-(-size // patch_size) for size in grid]
    num_patches = math.prod(counts)
    beyond = [(0, count * patch_size - size) for size, count in zip(grid, counts, strict=True)]
    if embedding_dims % num_patches:
        raise InputError(f'embedding_dims must be a multiple of the {num_patches} patches, not {embedding_dims}.')

    def patches(points: Array) -> Array:
        """Cut ``[N, C]`` into patches ``[T, patch_size^D C]``."""
        whole = jnp.pad(points.reshape(*grid, -1), (*beyond, (0, 0)))
        split = whole.reshape(*(part for count in counts for part in (count, patch_size)), -1)
        axes = range(len(grid))
        ordered = split.transpose(*(2 * axis for axis in axes), *(2 * axis + 1 for axis in axes), 2 * len(grid))
        return ordered.reshape(num_patches, -1)

    def forward(datapoint: Datapoint) -> Array:
        tokens = hk.Linear(width, name='patch')(patches(marked_values(datapoint, spec)))
        tokens = tokens + tokens_of('positions', num_patches, width)
        for block in range(depth):
            tokens = self_attention(tokens, num_heads=num_heads, name=f'block_{block}')
        return token_embedding(tokens, embedding_dims)

    return Encoder(*hk.without_apply_rng(hk.transform(forward)))
