"""WIRE with real wavelets: cosines under a Gaussian window.

Saragadam et al., "WIRE: wavelet implicit neural representations" (2023): its Gabor wavelet, the real part.
"""

import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.sine import cosine
from hyperinr.types import Inr

__all__ = ['real_wire']


def real_wire(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    omega: float = 10.0,
    scale: float = 10.0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``cos(omega x) exp(-(s x)^2)``, ``x = w h + b``.

    Cosine and window see the same x, as in the complex wavelet; in the authors' code of the real one each has a linear
    map of its own.

    Initialisation, as in the authors' code: PyTorch's default, weights and biases U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      omega: frequency of the wavelet, > 0.
      scale: s > 0, the inverse width of its window.
      output_bias: middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a real_wire', omega=omega, scale=scale)
    metadata = {
        'kind': 'real_wire',
        'channels': channels,
        'width': width,
        'depth': depth,
        'omega': omega,
        'scale': scale,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, _, layer: cosine(omega * x) * jnp.exp(-jnp.square(scale * x)),
        initialisation=initialisation or schemes.plain(),
        output_bias=output_bias,
    )
