"""MLP with exponentials of sines.

Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).
"""

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import sine
from hyperinr.types import Inr

__all__ = ['exp_sin']


def exp_sin(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega: float = 10.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``exp(-sin(a x))``, ``x = w h + b``.

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      omega: a > 0; the larger, the higher the frequencies.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a exp_sin', omega=omega)
    metadata = {
        'kind': 'exp_sin',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega': omega,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, _, layer: jnp.exp(-sine(omega * x)),
        initialisation=initialisation or schemes.plain(),
        output_bias=output_bias,
    )
