"""Families of coordinate MLPs with sines of ``omega (w h + b)`` in the hidden layers: SIREN and its variants.

Example:
  >>> import jax, jax.numpy as jnp
  >>> from hyperinr import inrs
  >>> inr = inrs.siren(channels=3)
  >>> inr.apply(inr.init(jax.random.key(0), 2), jnp.zeros((5, 2))).shape
  (5, 3)
"""

import math

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import Mlp, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import sine

__all__ = ['FAMILIES', 'adaptive_hosc', 'finer', 'hosc', 'siren']


@coordinate_mlp
def siren(*, omega_0: float = 30.0, hidden_omega_0: float = 30.0) -> Mlp:
    """Make a SIREN ``x -> w_L sin(omega (w_{L-1} ... sin(omega_0 (w_0 x + b_0)))) + b_L``.

    Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit neural representations with periodic activation
    functions" (2020).

    Initialisation (section 3.2 and supplement, section 1.5): first-layer weights U(-1/D, 1/D), hidden and output
    weights U(-sqrt(6/fan_in)/omega, +). Biases U(-1/sqrt(fan_in), +), as in the authors' code; the output bias is
    shifted by ``output_bias``.

    Args:
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
    """
    return Mlp(lambda z, omega, layer: sine(z), schemes.sine(), omegas=(omega_0, hidden_omega_0))


@coordinate_mlp
def finer(*, omega_0: float = 30.0, hidden_omega_0: float = 30.0, first_bias_bound: float = 1 / math.sqrt(2)) -> Mlp:
    """Make a FINER with layers ``sin(omega (|x| + 1) x)``, ``x = w h + b``, so that the bias chooses the frequency.

    Liu et al., "FINER: flexible spectral-bias tuning in implicit neural representation by variable-periodic activation
    functions" (2024). The derivative is that of the whole function; by default, the authors' code treats the factor
    ``|x| + 1`` as a constant in it.

    Initialisation: SIREN's weights. First-layer biases U(-k, k): the larger k, the higher the frequencies in use. The
    other biases U(-1/sqrt(fan_in), +).

    Args:
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      first_bias_bound: k > 0; PyTorch's default for two coordinates is 1/sqrt(2).
    """
    first, others = schemes.omega_biases(first_bound=first_bias_bound), schemes.fan_in_biases()
    biases = lambda key, layer: (others if layer.position else first)(key, layer)
    return Mlp(
        activation=lambda z, omega, layer: sine((jnp.abs(z) / omega + 1) * z),
        initialisation=Initialisation(schemes.sine_weights(), biases),
        omegas=(omega_0, hidden_omega_0),
        start_only=('first_bias_bound',),
    )


@coordinate_mlp
def hosc(*, omega_0: float = 30.0, hidden_omega_0: float = 30.0, sharpness: float = 2.0) -> Mlp:
    """Make a HOSC with sines close to square waves: layers ``tanh(beta sin(omega x))``, ``x = w h + b``.

    Serrano, Szymkowiak and Musialski, "HOSC: a periodic activation function for preserving sharp features in implicit
    neural representations" (2024). The frequency factor is that of Wlodarczyk, Serrano and Musialski, "HOSC: a periodic
    activation with saturation control for high-fidelity implicit neural representations" (2026).

    Initialisation: SIREN's; the bounds of the weights allow for omega, not for the sharpness.

    Args:
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      sharpness: beta > 0: 1 is almost a sine, 10 almost a square wave.
    """
    return Mlp(
        activation=lambda z, omega, layer: jnp.tanh(sharpness * sine(z)),
        initialisation=schemes.sine(),
        omegas=(omega_0, hidden_omega_0),
    )


@coordinate_mlp
def adaptive_hosc(*, omega_0: float = 30.0, hidden_omega_0: float = 30.0, sharpness: float = 2.0) -> Mlp:
    """Make an AdaHOSC: a `hosc` with a learned sharpness, one number ``sharpness: [1]`` in each hidden layer.

    Serrano, Szymkowiak and Musialski, "HOSC: a periodic activation function for preserving sharp features in implicit
    neural representations" (2024).

    Initialisation: SIREN's; the bounds of the weights allow for omega, not for the sharpness.

    Args:
      omega_0: frequency factor of the first layer, > 0.
      hidden_omega_0: frequency factor of the other hidden layers, > 0.
      sharpness: initial beta, > 0.
    """
    return Mlp(
        activation=lambda z, omega, layer: jnp.tanh(jnp.asarray(layer['sharpness'])[:, None] * sine(z)),
        initialisation=schemes.sine(),
        omegas=(omega_0, hidden_omega_0),
        learnable={'sharpness': sharpness},
        start_only=('sharpness',),
    )


FAMILIES = (siren, finer, hosc, adaptive_hosc)
