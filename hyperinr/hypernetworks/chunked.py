"""A small generator that predicts all weights of a large INR chunk by chunk."""

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.hypernetworks.assembly import Target, assemble
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['chunked']


@checked
def chunked(
    *,
    inr: Inr,
    encoder: Encoder,
    chunk_size: int = 1024,
    chunk_dims: int = 32,
    hidden: Sequence[int] = (256, 256),
    initial_delta: float = 0.1,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict ``delta_j = G(embedding, c_j)`` for every chunk ``j`` of the flat weights; ``W = W_base + s delta``.

    von Oswald, Henning, Grewe and Sacramento, "Continual learning with hypernetworks" (2020), section 2.2: all chunks
    share the generator ``G``, and a learned embedding ``c_j`` selects the chunk. ``s`` is each tensor's standard
    deviation in a fresh INR. The code is the weights themselves.

    Parameters, besides the base (P numbers), the encoder and the rates: ``J chunk_dims`` numbers for ``J = ceil(P /
    chunk_size)`` chunks, and one MLP of widths ``hidden`` from ``E + chunk_dims`` to ``chunk_size``. The size of the
    MLP does not depend on P; one head per tensor (`weight_heads`) has ``H P`` parameters. The cost is J evaluations of
    the MLP per datapoint; the embedding's part of the first layer is computed once.

    Args:
      inr: the INR whose weights are predicted.
      encoder: Datapoint -> embedding [E]. With `encoders.constant` there is no generator, only the base.
      chunk_size: number of weights that one evaluation of the generator predicts, >= 1.
      chunk_dims: dimensions of a chunk's embedding, >= 1.
      hidden: widths of the generator's hidden layers, at least one.
      initial_delta: standard deviation of ``delta`` at step 0, > 0.
      rates: step sizes of the weights.

    Returns:
      A `Hypernetwork` with parameters ``{'base', 'encoder', 'generator', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above.
    """
    sizes = {'chunk_size': chunk_size, 'chunk_dims': chunk_dims, 'hidden': hidden or 0}
    check_positive('chunked', **sizes, initial_delta=initial_delta)

    def generator(num_weights: int) -> hk.Transformed:
        chunks = -(-num_weights // chunk_size)

        def forward(embedding: Array) -> Array:
            if not embedding.size:
                return jnp.zeros(num_weights)
            norm = lambda name: hk.LayerNorm(axis=-1, create_scale=False, create_offset=False, name=name)
            unit = hk.initializers.RandomNormal()
            embeddings = hk.get_parameter('chunks', (chunks, chunk_dims), init=unit)
            first = hk.Linear(hidden[0], name='datapoint')(norm('datapoint_norm')(embedding))
            layer = hk.Linear(hidden[0], with_bias=False, name='chunk')(embeddings) + first[None]
            for index, width in enumerate(hidden[1:], 1):
                layer = hk.Linear(width, name=f'hidden_{index}')(jax.nn.silu(norm(f'norm_{index}')(layer)))
            layer = norm('head_norm')(jax.nn.silu(layer))
            w_init = hk.initializers.RandomNormal(initial_delta / hidden[-1] ** 0.5)
            return hk.Linear(chunk_size, w_init=w_init, name='head')(layer).reshape(-1)[:num_weights]

        return hk.without_apply_rng(hk.transform(forward))

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        total = weights_lib.count(weights_lib.spec_of(target.shapes))
        return {'base': base, 'generator': generator(total).init(key, embedding)}

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        spec = weights_lib.spec_of(target.shapes)
        flat = generator(weights_lib.count(spec)).apply(params['generator'], embedding)
        add = lambda leaf, scale, delta: leaf + scale * delta
        return jax.tree.map(add, params['base'], target.scales, weights_lib.unflatten(flat, spec))

    return assemble(inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit)
