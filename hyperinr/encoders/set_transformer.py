"""Learned tokens that attend to any number of points at any coordinates."""

import haiku as hk

from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.encoders.attention import check_heads, cross_attention, self_attention, token_embedding, tokens_of
from hyperinr.encoders.observations import observations, point_features
from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['set_transformer']


@checked
def set_transformer(
    *,
    spec: DatasetSpec,
    embedding_dims: int = 256,
    num_tokens: int = 32,
    width: int = 128,
    depth: int = 2,
    num_heads: int = 4,
    num_frequencies: int = 6,
) -> Encoder:
    """Make an encoder of learned tokens that attend to the observed points, then ``depth`` times to each other.

    The cost is linear in the number of points: Jaegle et al., "Perceiver: general perception with iterative attention"
    (2021). Pooling by learned queries makes the embedding independent of the order of the points: Lee et al., "Set
    transformer" (2019). Points of weight 0 are masked; all other weights count alike. Each token gives
    ``E / num_tokens`` numbers of the embedding.

    Args:
      spec: specification of the dataset; only its data range and dimensions are used.
      embedding_dims: E, a multiple of ``num_tokens``.
      num_tokens: T >= 1.
      width: width of the tokens, a multiple of ``num_heads``.
      depth: blocks of self-attention after the block that reads the points, >= 0.
      num_heads: heads of the attention.
      num_frequencies: octaves of the coordinate features, >= 0.

    Returns:
      An `Encoder` whose ``apply`` takes datapoints of any N, not only of the N at initialisation.

    Raises:
      ValueError: sizes that are not positive or do not fit each other.
    """
    check_positive('a set_transformer', embedding_dims=embedding_dims, num_tokens=num_tokens)
    check_not_negative('a set_transformer', depth=depth, num_frequencies=num_frequencies)
    check_heads('a set_transformer', width, num_heads)
    if embedding_dims % num_tokens:
        raise InputError(f'num_tokens must divide embedding_dims: {num_tokens=}, {embedding_dims=}.')

    def forward(datapoint: Datapoint) -> Array:
        _, observed = observations(datapoint, spec)
        points = hk.Linear(width, name='point')(point_features(datapoint, spec, num_frequencies))
        tokens = tokens_of('tokens', num_tokens, width, spread=1.0)
        tokens = cross_attention(tokens, points, num_heads=num_heads, name='read', visible=observed[:, 0])
        for block in range(depth):
            tokens = self_attention(tokens, num_heads=num_heads, name=f'block_{block}')
        return token_embedding(tokens, embedding_dims)

    return Encoder(*hk.without_apply_rng(hk.transform(forward)))
