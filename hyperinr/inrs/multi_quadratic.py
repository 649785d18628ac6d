"""MLP with (inverse) multi-quadratic activations.

Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).
"""

import jax
import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.types import Inr

__all__ = ['multi_quadratic']


def multi_quadratic(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    sharpness: float = 20.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``1 / sqrt(1 + (a x)^2)``, ``x = w h + b``.

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      sharpness: a > 0; the larger, the higher the frequencies.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a multi_quadratic', sharpness=sharpness)
    metadata = {
        'kind': 'multi_quadratic',
        'channels': channels,
        'width': width,
        'depth': depth,
        'sharpness': sharpness,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, omega, layer: jax.lax.rsqrt(1 + jnp.square(sharpness * x)),
        initialisation=initialisation or schemes.plain(),
        output_bias=output_bias,
    )
