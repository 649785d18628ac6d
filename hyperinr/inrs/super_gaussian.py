"""MLP with super-Gaussian activations.

Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).
"""

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.types import Inr

__all__ = ['super_gaussian']


def super_gaussian(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    deviation: float = 0.1,
    exponent: float = 2.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``exp(-x^2 / (2 a^2))^b``, ``x = w h + b``.

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      deviation: a > 0; the smaller, the higher the frequencies.
      exponent: b > 0.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a super_gaussian', deviation=deviation, exponent=exponent)
    metadata = {
        'kind': 'super_gaussian',
        'channels': channels,
        'width': width,
        'depth': depth,
        'deviation': deviation,
        'exponent': exponent,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, omega, layer: jnp.exp(-0.5 * exponent * jnp.square(x / deviation)),
        initialisation=initialisation or schemes.plain(),
        output_bias=output_bias,
    )
