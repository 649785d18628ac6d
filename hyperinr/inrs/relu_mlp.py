"""A ReLU MLP on sinusoidal features of the coordinates.

Mildenhall et al., "NeRF: representing scenes as neural radiance fields for view synthesis" (2020), eq. 4, for the
features; He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), eq. 10, for the initialisation.
"""

import math

import jax
import jax.numpy as jnp

from hyperinr.inrs.sine import cosine, sine
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['positional_encoding', 'relu_mlp']


def positional_encoding(coords: Array, num_frequencies: int) -> Array:
    """``[N, D]`` -> ``[N, D (1 + 2 F)]``: the coordinates, then sin and cos of ``2^f pi x`` for f = 0 ... F - 1."""
    angles = jnp.pi * coords[:, None, :] * 2.0 ** jnp.arange(num_frequencies)[None, :, None]
    angles = angles.reshape(coords.shape[0], -1)
    return jnp.concatenate([coords, sine(angles), cosine(angles)], axis=-1)


def relu_mlp(
    *, channels: int, width: int = 64, depth: int = 3, num_frequencies: int = 6, output_bias: float = 0.5
) -> Inr:
    """A ReLU MLP with positional encoding.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      num_frequencies: octaves F >= 0 of the positional encoding; 0 feeds the bare coordinates.
      output_bias: start of the output bias, the middle of the data range.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``: w drawn from N(0, 2/fan_in) (output: N(0, 1/fan_in)), b
      zero (output: ``output_bias``).

    Raises:
      ValueError: a size that is not positive.
    """
    if min(channels, width, depth) < 1 or num_frequencies < 0:
        raise ValueError(
            'a ReLU MLP needs channels, width and depth >= 1 and num_frequencies >= 0, not '
            f'{channels=}, {width=}, {depth=}, {num_frequencies=}.'
        )

    def init(key: Key, coord_dims: int) -> InrWeights:
        sizes = [coord_dims * (1 + 2 * num_frequencies), *[width] * depth, channels]
        weights = {}
        for layer, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            gain = 1 if layer == depth else 2
            w = math.sqrt(gain / fan_in) * jax.random.normal(jax.random.fold_in(key, layer), (fan_in, fan_out))
            weights[f'layer_{layer}'] = {'w': w, 'b': jnp.full(fan_out, output_bias if layer == depth else 0.0)}
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        hidden = positional_encoding(coords, num_frequencies)
        for layer in range(depth + 1):
            hidden = hidden @ weights[f'layer_{layer}']['w'] + weights[f'layer_{layer}']['b'][None, :]
            hidden = hidden if layer == depth else jax.nn.relu(hidden)
        return hidden

    metadata = {
        'kind': 'relu_mlp',
        'channels': channels,
        'width': width,
        'depth': depth,
        'num_frequencies': num_frequencies,
    }
    return Inr(init=init, apply=apply, metadata=metadata)
