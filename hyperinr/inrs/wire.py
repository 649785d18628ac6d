"""WIRE with complex and with real Gabor wavelets. Complex weights are stored as pairs of real tensors.

Saragadam, LeJeune, Tan, Balakrishnan, Veeraraghavan and Baraniuk, "WIRE: wavelet implicit neural representations"
(2023).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.inrs.coordinate_mlp import Mlp, affine, coordinate_mlp
from hyperinr.inrs.initialisation import OUTPUT_BIAS, Initialisation, Layer, draw_layer, plain
from hyperinr.inrs.sine import cosine, sine
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['FAMILIES', 'gabor_wavelet', 'real_wire', 'wire']


def gabor_wavelet(real: Array, imaginary: Array, *, omega: float, scale: float) -> tuple[Array, Array]:
    """Return ``exp(i omega z - |scale z|^2)`` of ``z = real + i imaginary``, as (real, imaginary) of the same shape."""
    size = jnp.exp(-omega * imaginary - scale**2 * (jnp.square(real) + jnp.square(imaginary)))
    return size * cosine(omega * real), size * sine(omega * real)


@checked
def wire(
    *,
    channels: int,
    width: int = 45,
    depth: int = 3,
    omega: float = 10.0,
    scale: float = 10.0,
    output_bias: float = OUTPUT_BIAS,
    initialisation: Initialisation | None = None,
) -> Inr:
    """Make a WIRE: layers ``exp(i omega z - |s z|^2)``, ``z = w h + b``.

    The first w and b are real, the others complex. The output is the real part of the last layer.

    Initialisation, as in the authors' code: PyTorch's default, real and imaginary parts U(-1/sqrt(fan_in), +).

    Args:
      channels: C.
      width: complex units of each hidden layer; 64/sqrt(2) = 45 of them have as many parameters as 64 real units.
      depth: hidden layers, >= 1.
      omega: frequency of the wavelet, > 0.
      scale: s > 0, the inverse width of its window.
      output_bias: middle of the data range.
      initialisation: another scheme, for both real and imaginary parts; ``None``: the one above.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``: ``w: [in, out]`` and ``b: [out]`` are the real
      parts, ``w_imaginary`` and ``b_imaginary`` of the same shapes the imaginary parts. The first layer has no
      imaginary parts, and the last layer has no ``b_imaginary``.

    Raises:
      ValueError: a value that is not positive.
    """
    hyperparameters = {'channels': channels, 'width': width, 'depth': depth, 'omega': omega, 'scale': scale}
    check_positive('a wire', **hyperparameters)
    scheme = initialisation or plain()
    deviation = scheme.input_deviation

    def init(key: Key, coord_dims: int) -> InrWeights:
        sizes = [coord_dims, *[width] * depth, channels]
        weights = {}
        for index in range(depth + 1):
            layer = Layer(index, depth, sizes[index], sizes[index + 1], 1.0)
            w_key, b_key, w_imaginary_key, b_imaginary_key = jax.random.split(jax.random.fold_in(key, index), 4)
            tensors = draw_layer(scheme, w_key, b_key, layer, output_bias=output_bias)
            if index > 0:
                tensors['w_imaginary'] = scheme.weights(w_imaginary_key, layer)
            if 0 < index < depth:
                tensors['b_imaginary'] = scheme.biases(b_imaginary_key, layer)
            weights[f'layer_{index}'] = tensors
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        points = jax.lax.optimization_barrier(jnp.asarray(coords).T)
        real: Array = affine(weights['layer_0'], points if deviation == 1 else points / deviation)
        imaginary: Array = jnp.zeros_like(real)
        for index in range(1, depth + 1):
            real, imaginary = gabor_wavelet(real, imaginary, omega=omega, scale=scale)
            real, imaginary = _complex_affine(weights[f'layer_{index}'], real, imaginary)
        return real.T

    metadata = {'kind': 'wire', **hyperparameters, 'input_deviation': deviation}
    return Inr(init=init, apply=apply, metadata=metadata)


@coordinate_mlp
def real_wire(*, omega: float = 10.0, scale: float = 10.0) -> Mlp:
    """Make a WIRE of real wavelets: layers ``cos(omega x) exp(-(s x)^2)``, ``x = w h + b``.

    Saragadam, LeJeune, Tan, Balakrishnan, Veeraraghavan and Baraniuk, "WIRE: wavelet implicit neural representations"
    (2023): the real part of its Gabor wavelet. Cosine and window have the same input x, as in the complex wavelet. In
    the authors' code of the real wavelet, each has its own linear map.

    Initialisation, as in the authors' code: PyTorch's default, weights and biases U(-1/sqrt(fan_in), +).

    Args:
      omega: frequency of the wavelet, > 0.
      scale: s > 0, the inverse width of its window.
    """
    return Mlp(lambda x, _, layer: cosine(omega * x) * jnp.exp(-jnp.square(scale * x)), plain())


def _complex_affine(layer: Mapping[str, Array], real: Array, imaginary: Array) -> tuple[Array, Array]:
    """Compute ``w^T h + b`` in real arithmetic; in the last layer (without ``b_imaginary``) only the real part."""
    w_imaginary = jnp.asarray(layer['w_imaginary'])
    new_real = affine(layer, real) - w_imaginary.T @ imaginary
    if 'b_imaginary' not in layer:
        return new_real, imaginary
    new_imaginary = affine({'w': layer['w'], 'b': layer['b_imaginary']}, imaginary) + w_imaginary.T @ real
    return new_real, new_imaginary


FAMILIES = (wire, real_wire)
