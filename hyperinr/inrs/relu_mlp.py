"""A ReLU MLP on sinusoidal features of the coordinates.

Mildenhall et al., "NeRF: representing scenes as neural radiance fields for view synthesis" (2020), section 5.1,
eq. 4, for the features, here with the coordinates themselves before them; He, Zhang, Ren and Sun, "Delving deep into
rectifiers" (2015), eq. 10, for the initialisation.
"""

import jax
import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import cosine, sine
from hyperinr.types import Array, Inr

__all__ = ['positional_encoding', 'rectifier_scheme', 'relu_mlp']


def positional_encoding(coords: Array, num_frequencies: int) -> Array:
    """``[N, D]`` -> ``[N, D (1 + 2 F)]``: the coordinates, then sin and cos of ``2^f pi x`` for f = 0 ... F - 1."""
    angles = jnp.pi * coords[:, None, :] * 2.0 ** jnp.arange(num_frequencies)[None, :, None]
    angles = angles.reshape(coords.shape[0], -1)
    return jnp.concatenate([coords, sine(angles), cosine(angles)], axis=-1)


def rectifier_scheme() -> Initialisation:
    """Weights N(0, 2/fan_in) (output: N(0, 1/fan_in)), no biases: He et al. (2015), eq. 10."""
    return Initialisation(
        schemes.fan_in_weights(distribution='normal', gain=2.0, output_gain=1.0), schemes.zero_biases()
    )


def relu_mlp(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    num_frequencies: int = 6,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """A ReLU MLP with positional encoding.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      num_frequencies: octaves F >= 0 of the positional encoding; 0 feeds the bare coordinates.
      output_bias: start of the output bias, the middle of the data range.
      initialisation: another scheme; ``None``: `rectifier_scheme`.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``: w drawn from N(0, 2/fan_in) (output: N(0, 1/fan_in)), b
      zero (output: ``output_bias``).

    Raises:
      ValueError: a size that is not positive.
    """
    if num_frequencies < 0:
        raise ValueError(f'a relu_mlp needs num_frequencies >= 0, not {num_frequencies=}.')
    metadata = {
        'kind': 'relu_mlp',
        'channels': channels,
        'width': width,
        'depth': depth,
        'num_frequencies': num_frequencies,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, omega, layer: jax.nn.relu(x),
        initialisation=initialisation or rectifier_scheme(),
        features=lambda coords: positional_encoding(coords.T, num_frequencies).T,
        output_bias=output_bias,
    )
