"""SIREN: an MLP with sine activations.

Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit neural representations with periodic activation functions"
(2020).
"""

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import sine
from hyperinr.types import Inr

__all__ = ['siren']


def siren(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega_0: float = 30.0,
    hidden_omega_0: float = 30.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
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
      initialisation: another scheme; ``None``: the published one, above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a size or a frequency that is not positive.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> inr = siren(channels=3)
      >>> inr.apply(inr.init(jax.random.key(0), 2), jnp.zeros((5, 2))).shape
      (5, 3)
    """
    check_positive('a siren', omega_0=omega_0, hidden_omega_0=hidden_omega_0)
    metadata = {
        'kind': 'siren',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega_0': omega_0,
        'hidden_omega_0': hidden_omega_0,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda z, omega, layer: sine(z),
        initialisation=initialisation or schemes.sine(),
        omegas=(omega_0, hidden_omega_0),
        output_bias=output_bias,
    )
