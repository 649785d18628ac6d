"""FourierNet: a multiplicative filter network with sine filters, a sum of exponentially many sines.

Fathony, Sahu, Willmott and Kolter, "Multiplicative filter networks" (2021).
"""

import math

from hyperinr.inrs.coordinate_mlp import affine, check_positive
from hyperinr.inrs.multiplicative_filters import multiplicative_filter_network, sine_filter
from hyperinr.inrs.sine import sine
from hyperinr.types import Inr

__all__ = ['fourier_net']


def fourier_net(
    *, channels: int, width: int = 64, depth: int = 2, input_scale: float = 256.0, output_bias: float = 0.5
) -> Inr:
    """Filters ``sin(w x + b)``.

    Initialisation, as in the authors' code: filter weights ``input_scale / sqrt(depth + 1)`` times PyTorch's default,
    phases U(-pi, pi); linear layers as in `multiplicative_filter_network`.

    Args:
      channels: C.
      width: H.
      depth: multiplications, >= 1; there are ``depth + 1`` filters.
      input_scale: > 0; the highest frequencies of the products grow with it.
      output_bias: middle of the data range.

    Returns:
      An `Inr`, see `multiplicative_filter_network`; a filter is ``{'w': [D, H], 'b': [H]}``.

    Raises:
      ValueError: a value that is not positive.
    """
    check_positive('a fourier_net', depth=depth, input_scale=input_scale)
    frequency_scale = input_scale / math.sqrt(depth + 1)
    return multiplicative_filter_network(
        metadata={'kind': 'fourier_net', 'channels': channels, 'width': width, 'depth': depth},
        init_filter=lambda key, coord_dims: sine_filter(key, coord_dims, width, frequency_scale),
        filter=lambda tensors, points: sine(affine(tensors, points)),
        output_bias=output_bias,
    )
