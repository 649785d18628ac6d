"""A hypernetwork with one head per weight tensor, around a learned base INR."""

from collections.abc import Sequence
from typing import Any, Literal

import jax

from hyperinr.annotations import checked
from hyperinr.arguments import check_choice, check_positive
from hyperinr.errors import InputError
from hyperinr.hypernetworks.assembly import Head, Target, assemble, linear_heads, natural_layers
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['weight_heads']


@checked
def weight_heads(
    *,
    inr: Inr,
    encoder: Encoder,
    combine: Literal['additive', 'multiplicative'] = 'multiplicative',
    trunk: Sequence[int] = (256,),
    initial_delta: float = 0.1,
    head_gain: float | Sequence[float] = 1.0,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict ``delta`` of every tensor: embedding -> trunk -> one linear head per tensor. The code *is* the weights.

    Additive: ``W = W_base + scale * delta``, where ``scale`` is the standard deviation of the tensor in a fresh INR
    (more in the output layer, see `assembly.Target`).
    Multiplicative: ``W = W_base * (1 + delta)``.

    The base is an independently initialised INR that is learned too. Sitzmann et al., "Implicit neural representations
    with periodic activation functions" (2020), "Learning a space of implicit functions", predict weights by a
    hypernetwork without a base. A fresh head emits deltas of standard deviation ``initial_delta``. So at step 0 every
    datapoint gets a valid INR with its family's activation statistics.

    With an encoder of no dimensions (`encoders.constant`) there are no heads, only the base and the rates.

    Args:
      inr: the INR whose weights are predicted.
      encoder: Datapoint -> embedding [E].
      combine: how a weight is made from base and delta.
      trunk: widths of the MLP between the embedding and the heads; empty: linear heads on the embedding.
      initial_delta: standard deviation of ``delta`` at step 0, > 0.
      head_gain: factor of the heads' output, > 0, or one factor for each layer of the INR: how much faster than other
        parameters the heads move under the outer optimiser. Without adaptation steps the heads of the first layer
        should be slower than the others: otherwise they keep changing the features on which later layers build.
      rates: step sizes of the weights.

    Returns:
      A `Hypernetwork` with parameters ``{'base', 'encoder', 'heads', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above.
    """
    check_choice('combine', combine, ('additive', 'multiplicative'))
    check_positive('weight_heads', initial_delta=initial_delta, head_gain=head_gain)

    def outputs(target: Target) -> Any:
        layers = natural_layers(target.shapes)
        gains = tuple(head_gain) if isinstance(head_gain, Sequence) else (head_gain,) * len(layers)
        if len(gains) != len(layers):
            raise InputError(f'head_gain must be one number or one for each of {", ".join(layers)}, not {head_gain}.')

        def head(tensor: Any, scale: float, gain: float) -> Head:
            return Head(tensor.shape, gain * (scale if combine == 'additive' else 1.0), initial_delta / gain)

        spread = {layer: dict.fromkeys(target.shapes[layer], gain) for layer, gain in zip(layers, gains, strict=True)}
        return jax.tree.map(head, target.shapes, target.scales, spread)

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        return {'base': base, 'heads': linear_heads(outputs(target), trunk).init(key, embedding)}

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        deltas = linear_heads(outputs(target), trunk).apply(params['heads'], embedding)
        combined = lambda leaf, delta: leaf + delta if combine == 'additive' else leaf * (1 + delta)
        return jax.tree.map(combined, params['base'], deltas)

    return assemble(inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit)
