"""A GELU MLP on NeRF's sinusoidal features of the coordinates.

Hendrycks and Gimpel, "Gaussian error linear units (GELUs)" (2016), for the activation; the features are those of
`hyperinr.inrs.relu_mlp`.
"""

import jax

from hyperinr.inrs.coordinate_mlp import coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.relu_mlp import positional_encoding, rectifier_scheme
from hyperinr.types import Inr

__all__ = ['gelu_mlp']


def gelu_mlp(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    num_frequencies: int = 6,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Layers ``x Phi(x)``, ``x = w h + b``, Phi the standard normal distribution function; twice differentiable.

    Initialisation: the paper states none; that of the ReLU MLP, whose second moments a GELU keeps within a sixth.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      num_frequencies: octaves F >= 0 of the positional encoding; 0 feeds the bare coordinates.
      output_bias: start of the output bias, the middle of the data range.
      initialisation: another scheme; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a size that is not positive.
    """
    if num_frequencies < 0:
        raise ValueError(f'a gelu_mlp needs num_frequencies >= 0, not {num_frequencies=}.')
    metadata = {
        'kind': 'gelu_mlp',
        'channels': channels,
        'width': width,
        'depth': depth,
        'num_frequencies': num_frequencies,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, omega, layer: jax.nn.gelu(x, approximate=False),
        initialisation=initialisation or rectifier_scheme(),
        features=lambda coords: positional_encoding(coords.T, num_frequencies).T,
        output_bias=output_bias,
    )
