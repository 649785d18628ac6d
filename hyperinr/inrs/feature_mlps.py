"""Families of coordinate MLPs on fixed features of the coordinates: ReLU and GELU MLPs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.inrs.coordinate_mlp import Mlp, coordinate_mlp
from hyperinr.inrs.initialisation import Initialisation, fan_in_weights, zero_biases
from hyperinr.inrs.sine import cosine, sine
from hyperinr.types import Array

__all__ = ['FAMILIES', 'fourier_mlp', 'gelu_mlp', 'positional_encoding', 'rectifier_scheme', 'relu_mlp']


def positional_encoding(coords: Array, num_frequencies: int) -> Array:
    """Return the coordinates, then sin and cos of ``2^f pi x`` for f = 0 ... F - 1: ``[N, D]`` -> ``[N, D (1 + 2 F)]``.

    Mildenhall et al., "NeRF: representing scenes as neural radiance fields for view synthesis" (2020), section 5.1,
    eq. 4. The coordinates themselves are added here.
    """
    angles = jnp.pi * coords[:, None, :] * 2.0 ** jnp.arange(num_frequencies)[None, :, None]
    angles = angles.reshape(coords.shape[0], -1)
    return jnp.concatenate([coords, sine(angles), cosine(angles)], axis=-1)


def rectifier_scheme() -> Initialisation:
    """Make the scheme of weights N(0, 2/fan_in) (output: N(0, 1/fan_in)) and zero biases.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), eq. 10.
    """
    return Initialisation(fan_in_weights(distribution='normal', gain=2.0, output_gain=1.0), zero_biases())


@coordinate_mlp
def relu_mlp(*, num_frequencies: int = 6) -> Mlp:
    """Make a ReLU MLP on the positional encoding of the coordinates.

    Mildenhall et al., "NeRF: representing scenes as neural radiance fields for view synthesis" (2020), section 5.1.

    Initialisation: `rectifier_scheme`, weights N(0, 2/fan_in) (output: N(0, 1/fan_in)), biases zero (output:
    ``output_bias``).

    Args:
      num_frequencies: octaves F >= 0 of the positional encoding; 0 feeds the bare coordinates.
    """
    return _encoded(jax.nn.relu, num_frequencies)


@coordinate_mlp
def gelu_mlp(*, num_frequencies: int = 6) -> Mlp:
    """Make a GELU MLP on the positional encoding of the coordinates; twice differentiable.

    Layers ``x Phi(x)``, ``x = w h + b``, Phi the standard normal distribution function. Hendrycks and Gimpel, "Gaussian
    error linear units (GELUs)" (2016).

    Initialisation: that of the ReLU MLP, since the paper states none. With it a GELU keeps second moments within a
    sixth.

    Args:
      num_frequencies: octaves F >= 0 of the positional encoding; 0 feeds the bare coordinates.
    """
    return _encoded(lambda x: jax.nn.gelu(x, approximate=False), num_frequencies)


@coordinate_mlp
def fourier_mlp(*, num_features: int = 64, feature_deviation: float = 5.0, feature_seed: int = 0) -> Mlp:
    """Make a ReLU MLP of ``sin(2 pi B u)`` and ``cos(2 pi B u)``, where ``u = (x + 1) / 2`` in [0, 1].

    Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains" (2020),
    eq. 5 with all amplitudes 1 and frequencies from a normal distribution (section 6.1, "Gaussian"). B is drawn from
    ``feature_seed`` and is the same for all INRs of this kind. It is no weight: it is neither trained nor predicted.

    Initialisation of the MLP as in `relu_mlp`.

    Args:
      num_features: rows of B, >= 1; the MLP sees twice as many features.
      feature_deviation: standard deviation of the frequencies, in cycles over the signal's extent, > 0; 10 in the
        paper's experiments on images.
      feature_seed: in [0, 2^32).
    """
    check_positive('a fourier_mlp', num_features=num_features)
    if not 0 <= feature_seed < 2**32:
        raise ValueError(f'a fourier_mlp needs a feature_seed in [0, 2^32), not {feature_seed=}.')

    def features(coords: Array) -> Array:
        matrix = fourier_matrix(num_features, coords.shape[0], deviation=feature_deviation, seed=feature_seed)
        angles = 2 * jnp.pi * (matrix @ ((coords + 1) / 2))
        return jnp.concatenate([sine(angles), cosine(angles)])

    return Mlp(lambda x, omega, layer: jax.nn.relu(x), rectifier_scheme(), features=features)


def fourier_matrix(num_features: int, coord_dims: int, *, deviation: float, seed: int) -> np.ndarray:
    """Draw frequencies ``B [num_features, D]``, ``N(0, deviation^2)``, float32.

    NumPy's legacy generator gives the same numbers in all versions, so a reader of stored weights needs only the seed
    and the deviation.
    """
    return (deviation * np.random.RandomState(seed).standard_normal((num_features, coord_dims))).astype(np.float32)


def _encoded(activation: Callable[[Array], Array], num_frequencies: int) -> Mlp:
    check_not_negative('a positional encoding', num_frequencies=num_frequencies)
    return Mlp(
        activation=lambda x, omega, layer: activation(x),
        initialisation=rectifier_scheme(),
        features=lambda coords: positional_encoding(coords.T, num_frequencies).T,
    )


FAMILIES = (relu_mlp, gelu_mlp, fourier_mlp)
