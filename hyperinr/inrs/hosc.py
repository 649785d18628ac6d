"""HOSC: a sine squared off by a hyperbolic tangent.

Serrano, Szymkowiak and Musialski, "HOSC: a periodic activation function for preserving sharp features in implicit
neural representations" (2024); with a frequency factor as in Wlodarczyk, Serrano and Musialski, "HOSC: a periodic
activation with saturation control for high-fidelity implicit neural representations" (2026).
"""

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import sine
from hyperinr.types import Inr

__all__ = ['hosc']


def hosc(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega_0: float = 30.0,
    hidden_omega_0: float = 30.0,
    sharpness: float = 2.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``tanh(beta sin(omega x))``, ``x = w h + b``.

    Initialisation: SIREN's; the bounds of the weights allow for omega, not for the sharpness.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      sharpness: beta > 0: 1 is almost a sine, 10 almost a square wave.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a hosc', omega_0=omega_0, hidden_omega_0=hidden_omega_0, sharpness=sharpness)
    metadata = {
        'kind': 'hosc',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega_0': omega_0,
        'hidden_omega_0': hidden_omega_0,
        'sharpness': sharpness,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda z, omega, layer: jnp.tanh(sharpness * sine(z)),
        initialisation=initialisation or schemes.sine(),
        omegas=(omega_0, hidden_omega_0),
        output_bias=output_bias,
    )
