"""Layer normalisation and pre-normalised attention blocks that encoders and hypernetworks share (Haiku)."""

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.arguments import check_positive
from hyperinr.errors import InputError
from hyperinr.types import Array

__all__ = ['check_heads', 'cross_attention', 'normalize', 'self_attention', 'token_embedding', 'tokens_of']

SPREAD = 0.02
"""Standard deviation of initial tokens and positions, as in BERT and ViT."""


def normalize(tokens: Array, name: str) -> Array:
    """Normalise tokens over the last axis, with learned scale and offset."""
    return hk.LayerNorm(axis=-1, create_scale=True, create_offset=True, name=name)(tokens)


def tokens_of(name: str, number: int, width: int, *, spread: float = SPREAD) -> Array:
    """Return learned tokens ``[number, width]``."""
    return hk.get_parameter(name, (number, width), init=hk.initializers.RandomNormal(spread))


def check_heads(what: str, width: int, num_heads: int) -> None:
    """Raise `InputError` unless ``width`` and ``num_heads`` are positive and ``num_heads`` divides ``width``."""
    check_positive(what, width=width, num_heads=num_heads)
    if width % num_heads:
        raise InputError(f'{what} needs a width that is a multiple of num_heads, not {width=} and {num_heads=}.')


def cross_attention(queries: Array, keys: Array, *, num_heads: int, name: str, visible: Array) -> Array:
    """Apply one block: ``queries [T, W]`` attend to ``keys [S, W']``, then pass an MLP; returns ``[T, W]``.

    Vaswani et al., "Attention is all you need" (2017), eq. 1. Each part is preceded by a normalisation, as in Xiong et
    al., "On layer normalization in the transformer architecture" (2020).

    Args:
      queries: tokens that are updated.
      keys: tokens that are attended to.
      num_heads: divides W.
      name: name of the block.
      visible: ``[S]``, whether a key may be attended to. If none is visible, attention adds nothing.
    """
    asked, seen = normalize(queries, f'{name}_query_norm'), normalize(keys, f'{name}_key_norm')
    found = _attention(asked, seen, num_heads, name, mask=visible[None, None, :])
    return _mlp(queries + jnp.where(jnp.any(visible), found, 0), name)


def self_attention(tokens: Array, *, num_heads: int, name: str) -> Array:
    """Apply one block in which ``tokens [T, W]`` attend to each other; returns ``[T, W]``."""
    seen = normalize(tokens, f'{name}_norm')
    return _mlp(tokens + _attention(seen, seen, num_heads, name), name)


def _attention(queries: Array, keys: Array, num_heads: int, name: str, mask: Array | None = None) -> Array:
    head_dims, w_init = queries.shape[-1] // num_heads, hk.initializers.VarianceScaling(1.0)
    attention = hk.MultiHeadAttention(num_heads, head_dims, w_init=w_init, name=f'{name}_attention')
    return attention(queries, keys, keys, mask=mask)


def _mlp(tokens: Array, name: str) -> Array:
    hidden = hk.Linear(2 * tokens.shape[-1], name=f'{name}_in')(normalize(tokens, f'{name}_mlp_norm'))
    return tokens + hk.Linear(tokens.shape[-1], name=f'{name}_out')(jax.nn.gelu(hidden))


def token_embedding(tokens: Array, embedding_dims: int) -> Array:
    """Turn tokens ``[T, W]`` into an embedding ``[E]``: ``E / T`` numbers of each token, in the order of the tokens."""
    normalized = normalize(tokens, 'output_norm')
    return hk.Linear(embedding_dims // tokens.shape[0], name='embedding')(normalized).reshape(-1)
