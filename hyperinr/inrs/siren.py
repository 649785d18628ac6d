"""SIREN: an MLP with sine activations.

Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit neural representations with periodic activation functions"
(2020).
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hyperinr.inrs.sine import sine
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['siren']


def siren(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega_0: float = 30.0,
    hidden_omega_0: float = 30.0,
    output_bias: float = 0.5,
) -> Inr:
    """A SIREN ``x -> w_L sin(omega (w_{L-1} ... sin(omega_0 (w_0 x + b_0)))) + b_L``.

    Initialisation (section 3.2 and supplement, section 1.5): first-layer weights U(-1/D, 1/D), hidden and output
    weights U(-sqrt(6/fan_in)/omega, +). Biases U(-1/sqrt(fan_in), +), as in the authors' code; the output bias is
    shifted by ``output_bias``.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1; there are ``depth + 1`` weight matrices.
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      output_bias: middle of the data range, so that a fresh INR starts at the mean grey.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a size or a frequency that is not positive.

    Example:
      >>> inr = siren(channels=3)
      >>> inr.apply(inr.init(jax.random.key(0), 2), jnp.zeros((5, 2))).shape
      (5, 3)
    """
    if min(channels, width, depth) < 1 or min(omega_0, hidden_omega_0) <= 0:
        raise ValueError(
            f'a SIREN needs channels, width and depth >= 1 and frequencies > 0, not {channels=}, {width=}, {depth=}, '
            f'{omega_0=}, {hidden_omega_0=}.'
        )

    def init(key: Key, coord_dims: int) -> InrWeights:
        sizes = [coord_dims, *[width] * depth, channels]
        weights = {}
        for layer, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            w_key, b_key = jax.random.split(jax.random.fold_in(key, layer))
            bound = 1 / fan_in if layer == 0 else math.sqrt(6 / fan_in) / hidden_omega_0
            w = jax.random.uniform(w_key, (fan_in, fan_out), minval=-bound, maxval=bound)
            b = jax.random.uniform(b_key, (fan_out,), minval=-1, maxval=1) / math.sqrt(fan_in)
            weights[f'layer_{layer}'] = {'w': w, 'b': b + output_bias if layer == depth else b}
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        # Features first, [width, N]: on a CPU 1.4 times as fast as points first. The barrier keeps XLA from merging the
        # transposition into the products of the backward pass, which then take 20 times as long.
        hidden = jax.lax.optimization_barrier(jnp.asarray(coords).T)
        for layer in range(depth):
            omega = omega_0 if layer == 0 else hidden_omega_0
            hidden = sine(_affine(weights[f'layer_{layer}'], hidden, scale=omega))
        return _affine(weights[f'layer_{depth}'], hidden).T

    metadata = {
        'kind': 'siren',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega_0': omega_0,
        'hidden_omega_0': hidden_omega_0,
    }
    return Inr(init=init, apply=apply, metadata=metadata)


def _affine(layer: Mapping[str, Array], features: Array, *, scale: float = 1.0) -> Array:
    """``scale (w^T x + b)``, ``[in, N] -> [out, N]``; the scale goes into the small factors."""
    return (scale * jnp.asarray(layer['w'])).T @ features + (scale * jnp.asarray(layer['b']))[:, None]
