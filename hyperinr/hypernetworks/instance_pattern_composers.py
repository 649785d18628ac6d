"""One early layer that belongs to each datapoint; all other layers are shared."""

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.errors import InputError
from hyperinr.hypernetworks.assembly import Head, Target, assemble, linear_heads, natural_layers
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['instance_pattern_composers']


@checked
def instance_pattern_composers(
    *,
    inr: Inr,
    encoder: Encoder,
    rank: int = 64,
    layer: int = 1,
    trunk: Sequence[int] = (256,),
    initial_delta: float = 0.1,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict ``V [in, r]`` of one layer, ``W_layer = (V_base + V) U``; ``V_base`` and ``U [r, out]`` are shared.

    Kim, Lee, Kim, Cho and Han, "Generalizable implicit neural representations via instance pattern composers" (2023):
    the weights of one early layer are a product. One factor, the instance pattern composer, belongs to the instance;
    the other factor and all other layers are shared. The code is ``V``, around a learned ``V_base``. At step 0 the
    product has the standard deviation of the layer's weights in a fresh INR.

    Parameters, besides the encoder and the rates: the P numbers of an INR, with ``r (in + out)`` for ``V_base`` and
    ``U`` instead of the layer's ``in out``; the trunk; and a head of ``(H + 1) r in`` numbers, where H is the trunk's
    last width. Decoding costs ``2 r in out`` operations, once per datapoint and step.

    Args:
      inr: an INR with a matrix ``w [in, out]`` in layer ``layer``.
      encoder: Datapoint -> embedding [E]. With `encoders.constant` ``V`` starts at zero.
      rank: r >= 1; at most ``min(in, out)`` is used.
      layer: number of the layer, from 0; layer 1 is the first on features instead of coordinates.
      trunk: widths of the MLP between the embedding and the head.
      initial_delta: standard deviation of ``V`` at step 0, > 0; that of ``V_base`` is 1.
      rates: step sizes of the code.

    Returns:
      A `Hypernetwork` with parameters ``{'shared', 'pattern', 'encoder', 'heads', 'rates'}``; ``shared`` has ``U``
      instead of the layer's ``w``.

    Raises:
      ValueError: a value outside the ranges above, or an INR without such a layer.
    """
    check_positive('instance_pattern_composers', rank=rank, initial_delta=initial_delta)
    check_not_negative('instance_pattern_composers', layer=layer)

    def name_of(weights: InrWeights) -> str:
        names = natural_layers(weights)
        if layer >= len(names) or len(getattr(weights[names[layer]].get('w'), 'shape', ())) != 2:
            raise InputError(f'the INR has no matrix in layer={layer}; its layers are {", ".join(names)}.')
        return names[layer]

    def heads(target: Target) -> hk.Transformed:
        rows, columns = target.shapes[name_of(target.shapes)]['w'].shape
        return linear_heads({'pattern': Head((rows, min(rank, rows, columns)), 1.0, initial_delta)}, trunk)

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        pattern_key, rule_key, heads_key = jax.random.split(key, 3)
        name = name_of(target.shapes)
        rows, columns = target.shapes[name]['w'].shape
        inner = min(rank, rows, columns)
        rule = target.scales[name]['w'] * inner**-0.5 * jax.random.normal(rule_key, (inner, columns))
        return {
            'pattern': jax.random.normal(pattern_key, (rows, inner)),
            'shared': {**base, name: {**base[name], 'w': rule}},
            'heads': heads(target).init(heads_key, embedding),
        }

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        return heads(target).apply(params['heads'], embedding)

    def decode(params: Params, code: Code) -> InrWeights:
        shared = params['shared']
        name = name_of(shared)
        composed = (params['pattern'] + code['pattern']) @ shared[name]['w']
        return {**shared, name: {**shared[name], 'w': composed}}

    return assemble(
        inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit, decode=decode,
        base=lambda params: decode(params, {'pattern': jnp.zeros_like(params['pattern'])}),
    )  # fmt: skip
