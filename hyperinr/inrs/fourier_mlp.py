"""A ReLU MLP on random Fourier features of the coordinates.

Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains" (2020), eq. 5
with all amplitudes 1 and frequencies from a normal distribution (section 6.1, "Gaussian").
"""

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.inrs.coordinate_mlp import check_positive, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation
from hyperinr.inrs.relu_mlp import rectifier_scheme
from hyperinr.inrs.sine import cosine, sine
from hyperinr.types import Array, Inr

__all__ = ['fourier_matrix', 'fourier_mlp']


def fourier_matrix(num_features: int, coord_dims: int, *, deviation: float, seed: int) -> np.ndarray:
    """Frequencies ``B [num_features, D]``, ``N(0, deviation^2)``, float32.

    From NumPy's legacy generator, whose numbers never change between versions: seed and deviation say all that a reader
    of stored weights must know.
    """
    return (deviation * np.random.RandomState(seed).standard_normal((num_features, coord_dims))).astype(np.float32)


def fourier_mlp(
    *,
    channels: int,
    width: int = 64,
    depth: int = 3,
    num_features: int = 64,
    feature_deviation: float = 5.0,
    feature_seed: int = 0,
    output_bias: float = 0.5,
    initialisation: Initialisation | None = None,
) -> Inr:
    """A ReLU MLP of ``sin(2 pi B u)`` and ``cos(2 pi B u)``, where ``u = (x + 1) / 2`` in [0, 1].

    B is the same for every INR of this kind, and no weight: drawn from ``feature_seed``, neither trained nor emitted by
    a hypernetwork. Initialisation of the MLP as in `relu_mlp`.

    Args:
      channels: C.
      width: units of each hidden layer.
      depth: hidden layers, >= 1.
      num_features: rows of B, >= 1; the MLP sees twice as many features.
      feature_deviation: of the frequencies, in cycles over the signal's extent, > 0; the paper's images take 10.
      feature_seed: in [0, 2^32).
      output_bias: start of the output bias, the middle of the data range.
      initialisation: another scheme; ``None``: that of `relu_mlp`.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

    Raises:
      ValueError: a value outside its range.
    """
    check_positive('a fourier_mlp', num_features=num_features, feature_deviation=feature_deviation)
    if not 0 <= feature_seed < 2**32:
        raise ValueError(f'feature_seed must be in [0, 2^32), not {feature_seed}.')

    def features(coords: Array) -> Array:
        matrix = fourier_matrix(num_features, coords.shape[0], deviation=feature_deviation, seed=feature_seed)
        angles = 2 * jnp.pi * (matrix @ ((coords + 1) / 2))
        return jnp.concatenate([sine(angles), cosine(angles)])

    metadata = {
        'kind': 'fourier_mlp',
        'channels': channels,
        'width': width,
        'depth': depth,
        'num_features': num_features,
        'feature_deviation': feature_deviation,
        'feature_seed': feature_seed,
    }
    return coordinate_mlp(
        metadata=metadata,
        activation=lambda x, omega, layer: jax.nn.relu(x),
        initialisation=initialisation or rectifier_scheme(),
        features=features,
        output_bias=output_bias,
    )
