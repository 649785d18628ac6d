"""What every coordinate MLP has in common: layers, the drawing of weights, the loop. A family adds its activation.

Letters: ``H`` units of a hidden layer, ``F`` features of the coordinates (``D`` where there are none).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from hyperinr.inrs.initialisation import Initialisation, Layer
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['Activation', 'affine', 'check_positive', 'coordinate_mlp']

Activation = Callable[[Array, float, Mapping[str, Array]], Array]
"""``(z [H, N], omega, tensors of the layer) -> [H, N]``, ``z = omega (w^T h + b)``."""


def check_positive(what: str, **values: float) -> None:
    """Refuses hyperparameters that are not positive, all named in one line.

    Raises:
      ValueError: one of ``values`` is not > 0.
    """
    if not all(value > 0 for value in values.values()):
        listed = ', '.join(f'{name}={value}' for name, value in values.items())
        raise ValueError(f'{what} needs positive values (sizes of at least 1), not {listed}.')


def affine(layer: Mapping[str, Array], features: Array, *, scale: float = 1.0) -> Array:
    """``scale (w^T x + b)``, ``[in, N] -> [out, N]``; the scale goes into the small factors."""
    return (scale * jnp.asarray(layer['w'])).T @ features + (scale * jnp.asarray(layer['b']))[:, None]


def coordinate_mlp(
    *,
    metadata: Mapping[str, Any],
    activation: Activation,
    initialisation: Initialisation,
    omegas: tuple[float, float] = (1.0, 1.0),
    features: Callable[[Array], Array] | None = None,
    parameters: Mapping[str, float] | None = None,
    output_bias: float = 0.5,
) -> Inr:
    """``x -> w_L a(... a(w_0 f(x) + b_0)) + b_L``.

    Args:
      metadata: with ``kind``, ``channels``, ``width``, ``depth``, and all that `activation` and `features` depend on.
      activation: of the hidden layers.
      initialisation: draws weights and biases; its input deviation divides the coordinates.
      omegas: frequency factors that the activation and the rules of the first and of all other layers are given.
      features: ``[D, N] -> [F, N]`` of the coordinates; ``None`` for the coordinates themselves.
      parameters: learnable numbers of the activation, name -> start. Each hidden layer has its own ``[1]`` among its
        tensors.
      output_bias: added to the output layer's biases.

    Returns:
      An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}`` and, in hidden
      layers, ``parameters``. The metadata gets ``input_deviation``.

    Raises:
      ValueError: a size or a frequency that is not positive.
    """
    channels, width, depth = (metadata[name] for name in ('channels', 'width', 'depth'))
    check_positive(f'a {metadata["kind"]}', channels=channels, width=width, depth=depth)
    encode = features or (lambda coords: coords)
    deviation = initialisation.input_deviation
    learnable = parameters or {}

    def activated(index: int, x: Array) -> Array:
        tensors = {name: jnp.full(1, start, jnp.float32) for name, start in learnable.items()}
        omega = omegas[min(index, 1)]
        return activation(omega * x.reshape(1, -1), omega, tensors).reshape(x.shape)

    def init(key: Key, coord_dims: int) -> InrWeights:
        num_features = jax.eval_shape(encode, jax.ShapeDtypeStruct((coord_dims, 1), jnp.float32)).shape[0]
        sizes = [num_features, *[width] * depth, channels]
        weights = {}
        for index in range(depth + 1):
            before = partial(activated, index - 1) if index > 0 else None
            after = partial(activated, index) if index < depth else None
            layer = Layer(index, depth, sizes[index], sizes[index + 1], omegas[min(index, 1)], before, after)
            w_key, b_key = jax.random.split(jax.random.fold_in(key, index))
            tensors = {'w': initialisation.weights(w_key, layer), 'b': initialisation.biases(b_key, layer)}
            if index == depth:
                tensors['b'] = tensors['b'] + output_bias
            else:
                tensors |= {name: jnp.full(1, start, jnp.float32) for name, start in learnable.items()}
            weights[f'layer_{index}'] = tensors
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        # Features first, [width, N]: on a CPU 1.4 times as fast as points first. The barrier keeps XLA from merging the
        # transposition into the products of the backward pass, which then take 20 times as long.
        hidden = jax.lax.optimization_barrier(jnp.asarray(coords).T)
        hidden = encode(hidden if deviation == 1 else hidden / deviation)
        for index in range(depth):
            layer, omega = weights[f'layer_{index}'], omegas[min(index, 1)]
            hidden = activation(affine(layer, hidden, scale=omega), omega, layer)
        return affine(weights[f'layer_{depth}'], hidden).T

    return Inr(init=init, apply=apply, metadata={**metadata, 'input_deviation': deviation})
