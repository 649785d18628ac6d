"""Common part of hypernetworks around a learned base INR: target, heads, and assembly of the four functions."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr import weights as weights_lib
from hyperinr.arguments import check_positive
from hyperinr.encoders.attention import normalize
from hyperinr.errors import InputError
from hyperinr.hypernetworks.rates import Rates
from hyperinr.runtime.compilation_cache import RUN_ONCE
from hyperinr.types import Array, Code, Datapoint, Encoder, Hypernetwork, Inr, InrWeights, Key, Params, Start

__all__ = ['Head', 'Target', 'assemble', 'linear_heads', 'natural_layers', 'target_of']


class Target(NamedTuple):
    """Shapes and scales of the weights that a hypernetwork predicts.

    Attributes:
      shapes: ``jax.ShapeDtypeStruct`` of every tensor, in the tree of the weights.
      scales: a float for every tensor, in the tree of the weights: its standard deviation in a fresh INR. The scale of
        a constant tensor (zero biases) is one over the root of its size. The scale of the output matrix is at least
        ``(8 fan_in)^-1/2``, since a fresh one may be far too small for a signal (ten times for a SIREN). With this
        scale the output has a standard deviation of 1/4 if the features have one of 1/sqrt(2).
    """

    shapes: Mapping[str, Mapping[str, Any]]
    scales: Mapping[str, Mapping[str, float]]


@functools.lru_cache(maxsize=64)
def target_of(init: Callable[[Key, int], InrWeights], coord_dims: int) -> Target:
    """Return the target of an INR with this ``init``, of ``coord_dims`` coordinates."""
    fresh = lambda key: init(key, coord_dims)
    shapes = jax.eval_shape(fresh, jax.random.key(0))
    with jax.ensure_compile_time_eval():
        deviations = jax.jit(lambda key: jax.tree.map(jnp.std, fresh(key)), compiler_options=RUN_ONCE)
        found = jax.device_get(deviations(jax.random.key(0)))
    scales = jax.tree.map(lambda shape, each: float(each) if each > 0 else shape.size**-0.5, shapes, found)
    last = natural_layers(shapes)[-1]
    for name, shape in shapes[last].items():
        if len(shape.shape) == 2:
            scales[last] = {**scales[last], name: max(scales[last][name], (8 * shape.shape[0]) ** -0.5)}
    return Target(shapes, scales)


def natural_layers(weights: InrWeights) -> list[str]:
    """Return the names of the layers by number; the last is the output layer."""
    return list(weights_lib.spec_of(weights).layers)


class Head(NamedTuple):
    """One output of `linear_heads`: ``unit * (A h + c)``.

    Attributes:
      shape: shape of the output.
      unit: factor of ``A h + c``.
      spread: standard deviation of ``A h + c`` at step 0. ``c`` is then 0, or has this deviation if there is no ``h``.
    """

    shape: tuple[int, ...]
    unit: float
    spread: float


def linear_heads(outputs: Any, trunk: Sequence[int], *, learned_start: bool = False) -> hk.Transformed:
    """Make ``embedding [E] -> outputs``: an MLP with layer normalisation, then a linear head for every `Head`.

    The last hidden vector is normalised to unit variance, which makes ``spread`` exact in expectation. If the embedding
    has no dimensions, there is no trunk, and the output is the same for all datapoints.

    Args:
      outputs: pytree of `Head`.
      trunk: widths of the MLP.
      learned_start: the output for an embedding without dimensions: the learned ``c`` if true, otherwise 0, without
        parameters.

    Raises:
      InputError: a width that is not positive.
    """
    check_positive('a hypernetwork', trunk=trunk)
    heads, structure = jax.tree.flatten(outputs, is_leaf=lambda each: isinstance(each, Head))

    def forward(embedding: Array) -> Any:
        if not (embedding.size or learned_start):
            return jax.tree.unflatten(structure, [jnp.zeros(head.shape) for head in heads])
        hidden = embedding
        if hidden.size:
            for layer, width in enumerate(trunk):
                normalized = normalize(hidden, f'trunk_{layer}_norm')
                hidden = jax.nn.silu(hk.Linear(width, name=f'trunk_{layer}')(normalized))
            hidden = hk.LayerNorm(axis=-1, create_scale=False, create_offset=False, name='head_norm')(hidden)
        emitted = []
        for index, head in enumerate(heads):
            w_init = hk.initializers.RandomNormal(head.spread / max(hidden.size, 1) ** 0.5)
            b_init = None if hidden.size else hk.initializers.RandomNormal(head.spread)
            linear = hk.Linear(math.prod(head.shape), w_init=w_init, b_init=b_init, name=f'head_{index}')
            emitted.append(head.unit * linear(hidden).reshape(head.shape))
        return jax.tree.unflatten(structure, emitted)

    return hk.without_apply_rng(hk.transform(forward))


def assemble(
    *,
    inr: Inr,
    encoder: Encoder,
    rates: Rates,
    init_own: Callable[[Key, InrWeights, Target, Array], Params],
    emit: Callable[[Params, Target, Array], Code],
    decode: Callable[[Params, Code], InrWeights] = lambda params, code: code,
    base: Callable[[Params], InrWeights] = lambda params: params['base'],
    rate_units: Callable[[Target], Code] | None = None,
) -> Hypernetwork:
    """Assemble a `Hypernetwork` with parameters ``{'encoder', 'rates', ...}`` from the functions of a family.

    Args:
      inr: the INR whose weights are predicted.
      encoder: Datapoint -> embedding [E].
      rates: step sizes of the code.
      init_own: ``(key, fresh weights, target, embedding) -> `` the family's own entries of the parameters; consumes the
        key.
      emit: ``(params, target, embedding) -> code``.
      decode: ``(params, code) -> InrWeights``; by default the code is the weights.
      base: ``(params) -> InrWeights``; by default the entry ``base`` of the parameters.
      rate_units: ``(target) -> `` numbers in the tree of the code, by which the rates are multiplied; ``None``: 1.

    Raises:
      ValueError: ``rates`` is not a `Rates`.
    """
    if not isinstance(rates, Rates):
        raise InputError(
            'rates must be what hypernetworks.learned_rates(), predicted_rates() or only_leaves() returns, '
            f'not {rates!r}.'
        )

    def init(key: Key, datapoint: Datapoint) -> Params:
        base_key, encoder_key, own_key, rates_key = jax.random.split(key, 4)
        target = target_of(inr.init, datapoint.coords.shape[-1])
        encoder_params = encoder.init(encoder_key, datapoint)
        embedding = encoder.apply(encoder_params, datapoint)
        own = init_own(own_key, inr.init(base_key, datapoint.coords.shape[-1]), target, embedding)
        code = emit(own, target, embedding)
        return {'encoder': encoder_params, 'rates': rates.init(rates_key, code, embedding), **own}

    def encode(params: Params, datapoint: Datapoint) -> Start:
        embedding = encoder.apply(params['encoder'], datapoint)
        target = target_of(inr.init, datapoint.coords.shape[-1])
        code = emit(params, target, embedding)
        found = rates.apply(params['rates'], code, embedding)
        if rate_units is not None:
            found = jax.tree.map(jnp.multiply, found, rate_units(target))
        return Start(code, found)

    return Hypernetwork(init=init, encode=encode, decode=decode, base=base)
