"""A transformer over tokens of the datapoint and tokens of the weights."""

import haiku as hk
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.encoders.attention import check_heads, normalize, self_attention, tokens_of
from hyperinr.errors import InputError
from hyperinr.hypernetworks.assembly import Target, assemble, natural_layers
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['weight_tokens']


@checked
def weight_tokens(
    *,
    inr: Inr,
    encoder: Encoder,
    token_dims: int = 16,
    width: int = 128,
    depth: int = 4,
    num_heads: int = 4,
    groups: int = 16,
    initial_delta: float = 0.1,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict columns ``w_i = |v_i| normalise(v_i * (1 + u_g(i)))`` of every matrix, ``u`` from a token per group.

    Chen and Wang, "Transformers as meta-learners for implicit neural representations" (Trans-INR, 2022): the inputs of
    a transformer encoder are the datapoint's tokens and learned tokens of the weights. A linear layer turns each weight
    token into a vector ``u`` for a group of columns. A column is the normalised product of ``u`` and a shared vector
    ``v_i``. Biases are shared. Here ``u`` is a change around 1, as in Peis et al., "Hyper-transforming latent diffusion
    models" (LDMI, 2025), and the column keeps the length of ``v_i``. So every family of INRs keeps its statistics, and
    ``u = 0`` gives the base. The code is the weights.

    The embedding is read as ``E / token_dims`` tokens, in order; `encoders.patch_transformer` and
    `encoders.set_transformer` emit the numbers of each of their tokens side by side.

    Parameters, besides the base (P numbers), the encoder and the rates, with T weight tokens and ``W = width``:
    ``depth (8 W^2 + 11 W)`` for the blocks, ``T W`` for the tokens, ``E / token_dims W`` for positions, ``(token_dims +
    1) W`` for the embedding of tokens, ``2 W`` for the output normalisation, and ``sum (W + 1) in`` over the matrices
    for the heads. None of these has P as a factor. The cost is that of the transformer on ``T + E / token_dims``
    tokens, once per datapoint.

    Args:
      inr: the INR whose matrices are predicted.
      encoder: Datapoint -> embedding [E]. With `encoders.constant` there is no transformer, only the base.
      token_dims: numbers of the embedding that form one token; divides E.
      width: width of the transformer, a multiple of ``num_heads``.
      depth: number of blocks, >= 1.
      num_heads: heads of the attention.
      groups: most groups of columns in a matrix; the largest number up to it that divides the columns is used.
      initial_delta: standard deviation of ``u`` at step 0, > 0.
      rates: step sizes of the weights.

    Returns:
      A `Hypernetwork` with parameters ``{'base', 'encoder', 'transformer', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above, or an embedding that ``token_dims`` does not divide.
    """
    sizes = {'token_dims': token_dims, 'depth': depth, 'groups': groups}
    check_positive('weight_tokens', **sizes, initial_delta=initial_delta)
    check_heads('weight_tokens', width, num_heads)

    def matrices(target: Target) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Return rows, columns and groups of each tensor of two or more axes."""
        found = {}
        for layer in natural_layers(target.shapes):
            for name, tensor in sorted(target.shapes[layer].items()):
                if len(tensor.shape) >= 2:
                    columns = tensor.shape[-1]
                    used = max(number for number in range(1, min(groups, columns) + 1) if columns % number == 0)
                    found[layer, name] = (tensor.size // columns, columns, used)
        return found

    def transformer(target: Target) -> hk.Transformed:
        """Make the map from an embedding to ``u [rows, groups]`` of every matrix."""
        wanted = matrices(target)

        def forward(embedding: Array) -> list[Array]:
            if embedding.size % token_dims:
                raise InputError(f'token_dims must divide the embedding: {token_dims=} and {embedding.size} numbers.')
            tokens = hk.Linear(width, name='data')(embedding.reshape(-1, token_dims))
            tokens = tokens + tokens_of('positions', tokens.shape[0], width)
            total = sum(used for _, _, used in wanted.values())
            tokens = jnp.concatenate([tokens, tokens_of('weights', total, width, spread=1.0)])
            for block in range(depth):
                tokens = self_attention(tokens, num_heads=num_heads, name=f'block_{block}')
            tokens = normalize(tokens[-total:], 'output_norm')
            w_init = hk.initializers.RandomNormal(initial_delta / width**0.5)
            stretches, first = [], 0
            for (layer, name), (rows, _, used) in wanted.items():
                head = hk.Linear(rows, w_init=w_init, name=f'{layer}_{name}')
                stretches.append(head(tokens[first : first + used]).T)
                first += used
            return stretches

        return hk.without_apply_rng(hk.transform(forward))

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        return {'base': base, 'transformer': transformer(target).init(key, embedding) if embedding.size else {}}

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        if not embedding.size:
            return params['base']
        code = {layer: dict(tensors) for layer, tensors in params['base'].items()}
        stretches = transformer(target).apply(params['transformer'], embedding)
        for ((layer, name), (rows, columns, used)), stretch in zip(matrices(target).items(), stretches, strict=True):
            columns_of = jnp.asarray(code[layer][name]).reshape(rows, columns)
            stretched = columns_of * (1 + jnp.repeat(stretch, columns // used, axis=1))
            length = lambda matrix: jnp.sqrt(jnp.sum(matrix**2, axis=0, keepdims=True) + 1e-20)
            code[layer][name] = (stretched * (length(columns_of) / length(stretched))).reshape(code[layer][name].shape)
        return code

    return assemble(inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit)
