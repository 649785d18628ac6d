"""FINER: sines whose frequency grows with their argument, so that the bias chooses the frequency.

Liu et al., "FINER: flexible spectral-bias tuning in implicit neural representation by variable-periodic activation
functions" (2024).
"""

import math

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation, Layer, Rule
from hyperinr.inrs.sine import sine
from hyperinr.types import Array, Inr, Key

__all__ = ['finer']


def finer(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega_0: float = 30.0,
    hidden_omega_0: float = 30.0,
    first_bias_bound: float = 1 / math.sqrt(2),
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``sin(omega (|x| + 1) x)``, ``x = w h + b``.

    The derivative is that of the whole function; the authors' code takes the factor ``|x| + 1`` for a constant unless
    told otherwise.

    Initialisation: weights as SIREN's; first-layer biases U(-k, k) (the larger k, the higher the frequencies in use),
    the others U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      first_bias_bound: k > 0; PyTorch's default for two coordinates is 1/sqrt(2).
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the published one, above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value outside its range.
    """
    check_positive('a finer', omega_0=omega_0, hidden_omega_0=hidden_omega_0, first_bias_bound=first_bias_bound)
    published = Initialisation(schemes.sine_weights(), _biases(first_bias_bound))
    metadata = {
        'kind': 'finer',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega_0': omega_0,
        'hidden_omega_0': hidden_omega_0,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda z, omega, layer: sine((jnp.abs(z) / omega + 1) * z),
        initialisation=initialisation or published,
        omegas=(omega_0, hidden_omega_0),
        output_bias=output_bias,
    )


def _biases(first_bound: float) -> Rule:
    first, others = schemes.omega_biases(first_bound=first_bound), schemes.fan_in_biases()

    def rule(key: Key, layer: Layer) -> Array:
        return (others if layer.position else first)(key, layer)

    return rule
