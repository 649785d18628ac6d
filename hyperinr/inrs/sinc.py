"""MLP with sinc activations.

Saratchandran, Ramasinghe, Shevchenko, Long and Lucey, "A sampling theory perspective on activations for implicit neural
representations" (2024): of the usual activations the one whose shifts rebuild band-limited signals.
"""

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import sine
from hyperinr.types import Array, Inr

__all__ = ['cardinal_sine', 'sinc']


def cardinal_sine(x: Array) -> Array:
    """``sin(x) / x``, 1 at 0; finite derivatives of every order, by its series where ``|x| < 0.3``."""
    near = jnp.abs(x) < 0.3
    square = jnp.where(near, x * x, 0.0)
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
    far = jnp.where(near, 1.0, x)
    return jnp.where(near, series, sine(far) / far)


def sinc(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega: float = 30.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``sin(omega x) / (omega x)``, ``x = w h + b``.

    Initialisation: PyTorch's default, weights and biases U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      omega: bandwidth, > 0.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a sinc', omega=omega)
    metadata = {'kind': 'sinc', 'channels': channels, 'width': width, 'depth': depth, 'omega': omega}
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, _, layer: cardinal_sine(omega * x),
        initialisation=initialisation or schemes.plain(),
        output_bias=output_bias,
    )
