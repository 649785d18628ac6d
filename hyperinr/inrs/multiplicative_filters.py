"""Multiplicative filter networks: products of filters of the coordinates, with linear layers between them.

Fathony, Sahu, Willmott and Kolter, "Multiplicative filter networks" (2021).

Letters: ``H`` units of a filter.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.inrs.coordinate_mlp import affine
from hyperinr.inrs.initialisation import OUTPUT_BIAS, Layer, draw_layer, plain
from hyperinr.inrs.sine import sine
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['FAMILIES', 'fourier_net', 'gabor_net', 'multiplicative_filter_network']


@checked
def fourier_net(
    *, channels: int, width: int = 64, depth: int = 2, input_scale: float = 256.0, output_bias: float = OUTPUT_BIAS
) -> Inr:
    """Make a FourierNet: filters ``sin(w x + b)``. The network is a sum of exponentially many sines.

    Initialisation, as in the authors' code: filter weights ``input_scale / sqrt(depth + 1)`` times PyTorch's default,
    phases U(-pi, pi); linear layers as in `multiplicative_filter_network`.

    Args:
      channels: C.
      width: H.
      depth: number of multiplications, >= 1; there are ``depth + 1`` filters.
      input_scale: > 0; the highest frequencies of the products grow with it.
      output_bias: middle of the data range.

    Returns:
      An `Inr`, see `multiplicative_filter_network`; a filter is ``{'w': [D, H], 'b': [H]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a fourier_net', input_scale=input_scale)
    return multiplicative_filter_network(
        metadata={'kind': 'fourier_net', 'channels': channels, 'width': width, 'depth': depth},
        init_filter=lambda key, coord_dims: _sine_filter(key, coord_dims, width, input_scale / math.sqrt(depth + 1)),
        filter=lambda tensors, points: sine(affine(tensors, points)),
        output_bias=output_bias,
    )


@checked
def gabor_net(
    *,
    channels: int,
    width: int = 64,
    depth: int = 2,
    input_scale: float = 256.0,
    concentration: float = 6.0,
    output_bias: float = OUTPUT_BIAS,
) -> Inr:
    """Make a GaborNet: filters ``exp(-gamma/2 |x - mu|^2) sin(w x + b)``, sines under a Gaussian window.

    Initialisation, as in the authors' code: gamma from Gamma(``concentration / (depth + 1)``, 1), mu from U(-1, 1)^D,
    filter weights ``input_scale sqrt(gamma / (depth + 1))`` times PyTorch's default, phases U(-pi, pi); linear layers
    as in `multiplicative_filter_network`.

    Args:
      channels: C.
      width: H.
      depth: number of multiplications, >= 1; there are ``depth + 1`` filters.
      input_scale: > 0.
      concentration: > 0; the larger, the narrower the windows.
      output_bias: middle of the data range.

    Returns:
      An `Inr`, see `multiplicative_filter_network`; a filter is ``{'w': [D, H], 'b': [H], 'center': [D, H],
      'sharpness': [H]}``. ``center`` is mu and ``sharpness`` is gamma.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a gabor_net', input_scale=input_scale, concentration=concentration)

    def init_filter(key: Key, coord_dims: int) -> dict[str, Array]:
        sine_key, center_key, gamma_key = jax.random.split(key, 3)
        gamma = jax.random.gamma(gamma_key, concentration / (depth + 1), (width,))
        tensors = _sine_filter(sine_key, coord_dims, width, input_scale / math.sqrt(depth + 1))
        return {
            'w': tensors['w'] * jnp.sqrt(gamma)[None, :],
            'b': tensors['b'],
            'center': jax.random.uniform(center_key, (coord_dims, width), minval=-1, maxval=1),
            'sharpness': gamma,
        }

    def filter(tensors: Mapping[str, Array], points: Array) -> Array:
        offsets = points[:, None, :] - jnp.asarray(tensors['center'])[:, :, None]
        window = jnp.exp(-0.5 * jnp.asarray(tensors['sharpness'])[:, None] * jnp.sum(jnp.square(offsets), axis=0))
        return window * sine(affine(tensors, points))

    return multiplicative_filter_network(
        metadata={'kind': 'gabor_net', 'channels': channels, 'width': width, 'depth': depth},
        init_filter=init_filter,
        filter=filter,
        output_bias=output_bias,
    )


def multiplicative_filter_network(
    *,
    metadata: Mapping[str, Any],
    init_filter: Callable[[Key, int], Mapping[str, Array]],
    filter: Callable[[Mapping[str, Array], Array], Array],
    output_bias: float,
) -> Inr:
    """Make an INR ``z_0 = g_0(x)``, ``z_{i+1} = (w_i z_i + b_i) * g_{i+1}(x)``, ``w_L z_L + b_L``.

    Initialisation, as in the authors' code: w_i, all biases and the output layer are drawn from U(-1/sqrt(H), +).

    Args:
      metadata: ``kind``, ``channels``, ``width``, ``depth``, and all values that ``filter`` depends on.
      init_filter: ``(key, coord_dims) ->`` tensors of one filter; consumes the key.
      filter: g, ``(tensors, coords [D, N]) -> [H, N]``.
      output_bias: added to the output layer's biases.

    Returns:
      An `Inr` with weights ``filter_0`` ... ``filter_{depth}`` and ``layer_0`` ... ``layer_{depth}``. The last
      one is the output layer.

    Raises:
      ValueError: a size that is not positive.
    """
    channels, width, depth = (metadata[name] for name in ('channels', 'width', 'depth'))
    check_positive(f'a {metadata["kind"]}', channels=channels, width=width, depth=depth)

    def init(key: Key, coord_dims: int) -> InrWeights:
        weights: dict[str, Mapping[str, Array]] = {}
        for index in range(depth + 1):
            filter_key, w_key, b_key = jax.random.split(jax.random.fold_in(key, index), 3)
            layer = Layer(index, depth, width, channels if index == depth else width, 1.0)
            weights[f'filter_{index}'] = init_filter(filter_key, coord_dims)
            weights[f'layer_{index}'] = draw_layer(plain(), w_key, b_key, layer, output_bias=output_bias)
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        points = jax.lax.optimization_barrier(jnp.asarray(coords).T)
        hidden = filter(weights['filter_0'], points)
        for index in range(depth):
            hidden = affine(weights[f'layer_{index}'], hidden) * filter(weights[f'filter_{index + 1}'], points)
        return affine(weights[f'layer_{depth}'], hidden).T

    return Inr(init=init, apply=apply, metadata=metadata)


def _sine_filter(key: Key, coord_dims: int, width: int, frequency_scale: float) -> dict[str, Array]:
    """Draw a filter ``sin(w x + b)``.

    ``w: [D, H]`` is PyTorch's default times ``frequency_scale``, phases ``b: [H]`` are U(-pi, pi).
    """
    w_key, b_key = jax.random.split(key)
    bound = frequency_scale / math.sqrt(coord_dims)
    return {
        'w': jax.random.uniform(w_key, (coord_dims, width), minval=-bound, maxval=bound),
        'b': jax.random.uniform(b_key, (width,), minval=-math.pi, maxval=math.pi),
    }


FAMILIES = (fourier_net, gabor_net)
