"""GaborNet: a multiplicative filter network whose filters are sines under a Gaussian window.

Fathony, Sahu, Willmott and Kolter, "Multiplicative filter networks" (2021).
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hyperinr.inrs.coordinate_mlp import affine, check_positive
from hyperinr.inrs.multiplicative_filters import multiplicative_filter_network, sine_filter
from hyperinr.inrs.sine import sine
from hyperinr.types import Array, Inr, Key

__all__ = ['gabor_net']


def gabor_net(
    *,
    channels: int,
    width: int = 64,
    depth: int = 2,
    input_scale: float = 256.0,
    concentration: float = 6.0,
    output_bias: float = 0.5,
) -> Inr:
    """Filters ``exp(-gamma/2 |x - mu|^2) sin(w x + b)``.

    Initialisation, as in the authors' code: gamma from Gamma(``concentration / (depth + 1)``, 1), mu from U(-1, 1)^D,
    filter weights ``input_scale sqrt(gamma / (depth + 1))`` times PyTorch's default, phases U(-pi, pi); linear layers
    as in `multiplicative_filter_network`.

    Args:
      channels: C.
      width: H.
      depth: multiplications, >= 1; there are ``depth + 1`` filters.
      input_scale: > 0.
      concentration: > 0; the larger, the narrower the windows.
      output_bias: middle of the data range.

    Returns:
      An `Inr`, see `multiplicative_filter_network`; a filter is ``{'w': [D, H], 'b': [H], 'center': [D, H],
      'sharpness': [H]}`` with mu and gamma in the last two.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a gabor_net', depth=depth, input_scale=input_scale, concentration=concentration)

    def init_filter(key: Key, coord_dims: int) -> dict[str, Array]:
        sine_key, center_key, gamma_key = jax.random.split(key, 3)
        gamma = jax.random.gamma(gamma_key, concentration / (depth + 1), (width,))
        tensors = sine_filter(sine_key, coord_dims, width, input_scale / math.sqrt(depth + 1))
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
