"""A hypernetwork with one head per weight tensor around a learned base INR."""

import math
from collections.abc import Sequence
from typing import Literal

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr import weights as weights_lib
from hyperinr.hypernetworks.rates import Rates
from hyperinr.types import Array, Code, Datapoint, Encoder, Hypernetwork, Inr, InrWeights, Key, Params, Start

__all__ = ['weight_heads']


def weight_heads(
    *,
    inr: Inr,
    encoder: Encoder,
    combine: Literal['additive', 'multiplicative'] = 'multiplicative',
    trunk: Sequence[int] = (256,),
    initial_delta: float = 0.1,
    head_gain: float = 1.0,
    rates: Literal['scalar', 'layer', 'parameter'] | Rates = 'parameter',
    num_rate_steps: int = 1,
    initial_rate: float = 0.1,
    rate_gain: float = 200.0,
) -> Hypernetwork:
    """Embedding -> trunk -> a linear head per tensor -> ``delta`` -> ``W``. The code *is* the weights.

    Additive: ``W = W_base + scale * delta``, where ``scale`` is the standard deviation of the tensor in a fresh INR
    (more in the output layer, see `_fresh_scales`).
    Multiplicative: ``W = W_base * (1 + delta)``. The base is an independently initialised INR that is learned along
    (Sitzmann et al., "Implicit neural representations with periodic activation functions" (2020), section 4.4, predict
    weights by such heads, without a base), and a fresh head emits deltas of standard deviation ``initial_delta``: at
    step 0 every datapoint gets a valid INR with its family's activation statistics.

    Step sizes are learned along, one per step and ``rates`` group: ``initial_rate * exp(rate_gain * parameter)``, so
    that they stay positive (Li, Zhou, Chen and Li, "Meta-SGD" (2017), eq. 1, for one rate per parameter; Antoniou,
    Edwards and Storkey, "How to train your MAML" (2019), section 4, for one per layer and step).

    With an encoder of no dimensions (`encoders.constant`) there are no heads: the base and the rates are all there is.

    Args:
      inr: whose weights are predicted.
      encoder: Datapoint -> embedding [E].
      combine: how base and delta make a weight.
      trunk: widths of the MLP between the embedding and the heads; empty for linear heads on the embedding.
      initial_delta: standard deviation of ``delta`` at step 0, > 0.
      head_gain: factor of the heads' output, > 0: how much faster than other parameters they move under the outer
        optimiser. A fresh SIREN's output is a tenth of what an image needs, and the heads must make up for it.
      rates: what a step size is shared by: all weights, a layer's tensor, or nothing; or where else the step sizes come
        from, such as `predicted_rates`, which then has the options below of its own.
      num_rate_steps: steps with rates of their own, >= 1; 1 shares them between all steps.
      initial_rate: > 0, in units of weight per gradient of the loss.
      rate_gain: how much faster than other parameters the logarithms of the rates move under the outer optimiser.

    Returns:
      A `Hypernetwork` with parameters ``{'base', 'encoder', 'heads', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above.
    """
    if combine not in ('additive', 'multiplicative'):
        raise ValueError(f"combine must be 'additive' or 'multiplicative', not {combine!r}.")
    if not isinstance(rates, Rates) and rates not in ('scalar', 'layer', 'parameter'):
        raise ValueError(f"rates must be 'scalar', 'layer' or 'parameter', not {rates!r}.")
    if num_rate_steps < 1 or initial_rate <= 0 or initial_delta <= 0:
        raise ValueError(f'must be positive: {num_rate_steps=}, {initial_rate=}, {initial_delta=}.')

    def heads_of(shapes: Sequence[tuple[int, ...]]) -> hk.Transformed:
        def forward(embedding: Array) -> list[Array]:
            hidden = embedding
            for layer, width in enumerate(trunk):
                norm = hk.LayerNorm(axis=-1, create_scale=True, create_offset=True, name=f'trunk_{layer}_norm')
                hidden = jax.nn.silu(hk.Linear(width, name=f'trunk_{layer}')(norm(hidden)))
            hidden = hk.LayerNorm(axis=-1, create_scale=False, create_offset=False, name='head_norm')(hidden)
            w_init = hk.initializers.RandomNormal(initial_delta / head_gain / hidden.shape[-1] ** 0.5)
            deltas = []
            for index, shape in enumerate(shapes):
                size = math.prod(shape)
                deltas.append(head_gain * hk.Linear(size, w_init=w_init, name=f'head_{index}')(hidden).reshape(shape))
            return deltas

        return hk.without_apply_rng(hk.transform(forward))

    def init(key: Key, datapoint: Datapoint) -> Params:
        base_key, encoder_key, heads_key = jax.random.split(key, 3)
        base = inr.init(base_key, datapoint.coords.shape[-1])
        encoder_params = encoder.init(encoder_key, datapoint)
        embedding = encoder.apply(encoder_params, datapoint)
        leaves = jax.tree.leaves(base)
        heads = heads_of([leaf.shape for leaf in leaves]).init(heads_key, embedding) if embedding.size else {}
        logs = (
            rates.init(jax.random.fold_in(key, 3), base, embedding)
            if isinstance(rates, Rates)
            else jax.tree.map(_log_rates, base)
        )
        return {'base': base, 'encoder': encoder_params, 'heads': heads, 'rates': logs}

    def _log_rates(leaf: Array) -> Array:
        if rates == 'scalar' or rates == 'layer':
            return jnp.zeros((num_rate_steps, *[1] * leaf.ndim))
        return jnp.zeros((num_rate_steps, *leaf.shape))

    def encode(params: Params, datapoint: Datapoint) -> Start:
        weights = _weights(params, datapoint)
        if isinstance(rates, Rates):
            embedding = encoder.apply(params['encoder'], datapoint)
            return Start(code=weights, rates=rates.apply(params['rates'], weights, embedding))
        return Start(code=weights, rates=_rates(params))

    def _weights(params: Params, datapoint: Datapoint) -> InrWeights:
        base = params['base']
        embedding = encoder.apply(params['encoder'], datapoint)
        if not embedding.size:
            return base
        leaves, structure = jax.tree.flatten(base)
        deltas = heads_of([leaf.shape for leaf in leaves]).apply(params['heads'], embedding)
        scales = jax.tree.leaves(_fresh_scales(datapoint.coords.shape[-1]))
        if combine == 'additive':
            emitted = [leaf + scale * delta for leaf, scale, delta in zip(leaves, scales, deltas, strict=True)]
        else:
            emitted = [leaf * (1 + delta) for leaf, delta in zip(leaves, deltas, strict=True)]
        return jax.tree.unflatten(structure, emitted)

    def _fresh_scales(coord_dims: int) -> InrWeights:
        with jax.ensure_compile_time_eval():
            fresh = inr.init(jax.random.key(0), coord_dims)
            scales = jax.tree.map(_scale, fresh)
            last = weights_lib.spec_of(fresh).paths[-1].split('/')[0]
            # A fresh output layer may be far too small for a signal (a SIREN's by a factor of ten): its deltas are in
            # units that give an output of standard deviation 1/4 where every feature has one of 1/sqrt(2).
            fan_in = fresh[last]['w'].shape[0]
            return {**scales, last: {**scales[last], 'w': max(scales[last]['w'], (8 * fan_in) ** -0.5)}}

    def _rates(params: Params) -> Code:
        logs = params['rates']
        if rates == 'scalar':
            shared = jnp.sum(jnp.stack([leaf.reshape(num_rate_steps) for leaf in jax.tree.leaves(logs)]), axis=0)
            logs = jax.tree.map(lambda leaf: shared.reshape(leaf.shape), logs)
        return jax.tree.map(lambda leaf: initial_rate * jnp.exp(rate_gain * leaf), logs)

    def decode(params: Params, code: Code) -> InrWeights:
        del params
        return code

    return Hypernetwork(init=init, encode=encode, decode=decode, base=lambda params: params['base'])


def _scale(leaf: Array) -> float:
    """Standard deviation of a fresh tensor; of a constant one (zero biases), one over the root of its size."""
    deviation = float(jnp.std(leaf))
    return deviation if deviation > 0 else leaf.size**-0.5
