"""AdaHOSC: `hosc` whose sharpness is learned, one number for each layer.

Serrano, Szymkowiak and Musialski, "HOSC: a periodic activation function for preserving sharp features in implicit
neural representations" (2024).
"""

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import sine
from hyperinr.types import Inr

__all__ = ['adaptive_hosc']


def adaptive_hosc(
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
    """Layers ``tanh(beta sin(omega x))``, ``x = w h + b``, beta among the weights.

    Initialisation: SIREN's; the bounds of the weights allow for omega, not for the sharpness.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      sharpness: beta at the start, > 0.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``, and
      ``sharpness: [1]`` in the hidden ones.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a adaptive_hosc', omega_0=omega_0, hidden_omega_0=hidden_omega_0, sharpness=sharpness)
    metadata = {
        'kind': 'adaptive_hosc',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega_0': omega_0,
        'hidden_omega_0': hidden_omega_0,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda z, omega, layer: jnp.tanh(jnp.asarray(layer['sharpness'])[:, None] * sine(z)),
        initialisation=initialisation or schemes.sine(),
        omegas=(omega_0, hidden_omega_0),
        parameters={'sharpness': sharpness},
        output_bias=output_bias,
    )
