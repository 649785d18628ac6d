"""What the multiplicative filter networks have in common: a product of filters, linear in between.

Fathony, Sahu, Willmott and Kolter, "Multiplicative filter networks" (2021).

Letters: ``H`` units of a filter.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.coordinate_mlp import affine, check_positive
from hyperinr.inrs.initialisation import Layer
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['multiplicative_filter_network', 'sine_filter']


def sine_filter(key: Key, coord_dims: int, width: int, frequency_scale: float) -> dict[str, Array]:
    """Of ``sin(w x + b)``: PyTorch's default times ``frequency_scale`` ``w: [D, H]``, phases U(-pi, pi) ``b: [H]``."""
    w_key, b_key = jax.random.split(key)
    bound = frequency_scale / math.sqrt(coord_dims)
    return {
        'w': jax.random.uniform(w_key, (coord_dims, width), minval=-bound, maxval=bound),
        'b': jax.random.uniform(b_key, (width,), minval=-math.pi, maxval=math.pi),
    }


def multiplicative_filter_network(
    *,
    metadata: Mapping[str, Any],
    init_filter: Callable[[Key, int], Mapping[str, Array]],
    filter: Callable[[Mapping[str, Array], Array], Array],
    output_bias: float,
) -> Inr:
    """``z_0 = g_0(x)``, ``z_{i+1} = (w_i z_i + b_i) * g_{i+1}(x)``, ``w_L z_L + b_L``.

    Initialisation, as in the authors' code: w_i from U(-1/sqrt(H), +), and so are all biases and the output layer.

    Args:
      metadata: with ``kind``, ``channels``, ``width``, ``depth``, and all that ``filter`` depends on.
      init_filter: ``(key, coord_dims) ->`` tensors of one filter; consumes the key.
      filter: g, ``(tensors, coords [D, N]) -> [H, N]``.
      output_bias: added to the output layer's biases.

    Returns:
      An `Inr` with weights ``filter_0`` ... ``filter_{depth}`` and ``layer_0`` ... ``layer_{depth}``, the last of which
      is the output.

    Raises:
      ValueError: a size that is not positive.
    """
    channels, width, depth = (metadata[name] for name in ('channels', 'width', 'depth'))
    check_positive(f'a {metadata["kind"]}', channels=channels, width=width, depth=depth)
    scheme = schemes.plain()

    def init(key: Key, coord_dims: int) -> InrWeights:
        weights: dict[str, Mapping[str, Array]] = {}
        for index in range(depth + 1):
            filter_key, w_key, b_key = jax.random.split(jax.random.fold_in(key, index), 3)
            layer = Layer(index, depth, width, channels if index == depth else width, 1.0)
            biases = scheme.biases(b_key, layer)
            weights[f'filter_{index}'] = init_filter(filter_key, coord_dims)
            weights[f'layer_{index}'] = {
                'w': scheme.weights(w_key, layer),
                'b': biases + output_bias if index == depth else biases,
            }
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        points = jax.lax.optimization_barrier(jnp.asarray(coords).T)
        hidden = filter(weights['filter_0'], points)
        for index in range(depth):
            hidden = affine(weights[f'layer_{index}'], hidden) * filter(weights[f'filter_{index + 1}'], points)
        return affine(weights[f'layer_{depth}'], hidden).T

    return Inr(init=init, apply=apply, metadata=metadata)
