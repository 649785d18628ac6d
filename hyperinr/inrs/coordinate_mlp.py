"""Common part of all coordinate MLPs: sizes, layers, initialisation, evaluation. A family adds its activation.

Letters: ``H`` units of a hidden layer, ``F`` features of the coordinates (``D`` without features).
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.inrs.initialisation import OUTPUT_BIAS, Initialisation, Layer, draw_layer
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['Activation', 'Mlp', 'affine', 'coordinate_mlp']

Activation = Callable[[Array, float, Mapping[str, Array]], Array]
"""``(z [H, N], omega, tensors of the layer) -> [H, N]``, ``z = omega (w^T h + b)``."""


class Mlp(NamedTuple):
    """The definition of one family of coordinate MLPs.

    Attributes:
      activation: activation of the hidden layers.
      initialisation: the published scheme, which a caller may replace.
      omegas: frequency factors of the first layer and of all other layers; 1 if the family has none.
      features: features of the coordinates, ``[D, N] -> [F, N]``; ``None``: the coordinates themselves.
      learnable: learned numbers, name -> initial value. Each hidden layer has its own, as a tensor ``[1]``.
      start_only: hyperparameters that matter for fresh weights alone. A reader of stored weights does not need them.
    """

    activation: Activation
    initialisation: Initialisation
    omegas: tuple[float, float] = (1.0, 1.0)
    features: Callable[[Array], Array] | None = None
    learnable: Mapping[str, float] = {}
    start_only: tuple[str, ...] = ()


def coordinate_mlp(family: Callable[..., Mlp]) -> Callable[..., Inr]:
    """Turn a family into the factory of its INRs ``x -> w_L a(... a(w_0 f(x) + b_0)) + b_L``; a decorator.

    The factory has the family's name. It takes ``channels``, ``width``, ``depth``, the family's own hyperparameters,
    ``output_bias`` and ``initialisation``; its signature and docstring list them. Sizes and hyperparameters annotated
    as ``float`` must be positive. The metadata hold sizes, hyperparameters and ``input_deviation``.

    Args:
      family: keyword-only hyperparameters with defaults -> `Mlp`. Its docstring ends with their ``Args:``.

    Example:
      >>> from hyperinr.inrs.initialisation import plain
      >>> @coordinate_mlp
      ... def cubic(*, scale: float = 2.0) -> Mlp:
      ...     '''Make an MLP with layers ``(scale x)^3``.
      ...
      ...     Args:
      ...       scale: > 0.
      ...     '''
      ...     return Mlp(lambda x, omega, layer: (scale * x) ** 3, plain())
      >>> cubic(channels=3).metadata['scale']
      2.0
    """
    own = inspect.signature(family, eval_str=True).parameters
    kind = family.__name__

    def factory(
        *,
        channels: int,
        width: int = 64,
        depth: int = 3,
        output_bias: float = OUTPUT_BIAS,
        initialisation: Initialisation | None = None,
        **hyperparameters: float,
    ) -> Inr:
        """Make an INR of the family.

        Args:
          channels: C.
          width: units of each hidden layer.
          depth: hidden layers, >= 1; there are ``depth + 1`` weight matrices.
          output_bias: added to the biases of the output layer; the middle of the data range.
          initialisation: another scheme; ``None``: the one above.

        Returns:
          An `Inr` with weights ``layer_0`` ... ``layer_{depth}``, each ``{'w': [in, out], 'b': [out]}``.

        Raises:
          ValueError: a value outside its range.
        """
        sizes = {'channels': channels, 'width': width, 'depth': depth}
        values = {name: parameter.default for name, parameter in own.items()} | hyperparameters
        positive = {name: values[name] for name, parameter in own.items() if parameter.annotation is float}
        check_positive(f'a {kind}', **sizes, **positive)
        mlp = family(**values)
        scheme = initialisation or mlp.initialisation
        stored = {name: value for name, value in values.items() if name not in mlp.start_only}
        metadata = {'kind': kind, **sizes, **stored, 'input_deviation': scheme.input_deviation}
        return _inr(mlp, scheme, output_bias, metadata)

    *sizes, output_bias, initialisation, _ = inspect.signature(factory).parameters.values()
    about, _, arguments = inspect.cleandoc(family.__doc__ or '').partition('\n\nArgs:\n')
    before, start, after = inspect.cleandoc(factory.__doc__ or '').partition('  output_bias:')
    _, _, before = before.partition('\n\n')
    factory.__module__, factory.__name__, factory.__qualname__ = family.__module__, kind, kind
    factory.__doc__ = f'{about}\n\n{before}{arguments}\n{start}{after}'
    factory.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*sizes, *own.values(), output_bias, initialisation], return_annotation=Inr
    )
    return checked(factory)


def affine(layer: Mapping[str, Array], features: Array, *, scale: float = 1.0) -> Array:
    """Return ``scale (w^T x + b)``, ``[in, N] -> [out, N]``; the scale multiplies the small factors ``w`` and ``b``."""
    return (scale * jnp.asarray(layer['w'])).T @ features + (scale * jnp.asarray(layer['b']))[:, None]


def _inr(mlp: Mlp, scheme: Initialisation, output_bias: float, metadata: Mapping[str, Any]) -> Inr:
    """Make the INR of a family from checked hyperparameters."""
    channels, width, depth, deviation = (metadata[name] for name in ('channels', 'width', 'depth', 'input_deviation'))
    encode = mlp.features or (lambda coords: coords)

    def omega_of(index: int) -> float:
        return mlp.omegas[min(index, 1)]

    def learnable() -> dict[str, Array]:
        return {name: jnp.full(1, start, jnp.float32) for name, start in mlp.learnable.items()}

    def activated(index: int, x: Array) -> Array:
        omega = omega_of(index)
        return mlp.activation(omega * x.reshape(1, -1), omega, learnable()).reshape(x.shape)

    def init(key: Key, coord_dims: int) -> InrWeights:
        num_features = jax.eval_shape(encode, jax.ShapeDtypeStruct((coord_dims, 1), jnp.float32)).shape[0]
        sizes = [num_features, *[width] * depth, channels]
        weights = {}
        for index in range(depth + 1):
            before = partial(activated, index - 1) if index > 0 else None
            after = partial(activated, index) if index < depth else None
            layer = Layer(index, depth, sizes[index], sizes[index + 1], omega_of(index), before, after)
            w_key, b_key = jax.random.split(jax.random.fold_in(key, index))
            tensors = draw_layer(scheme, w_key, b_key, layer, output_bias=output_bias)
            weights[f'layer_{index}'] = tensors if index == depth else tensors | learnable()
        return weights

    def apply(weights: InrWeights, coords: Array) -> Array:
        # [width, N] is 1.4 times as fast on a CPU as [N, width]. Without the barrier, XLA merges the transposition into
        # the products of the backward pass, which then take 20 times as long.
        hidden = jax.lax.optimization_barrier(jnp.asarray(coords).T)
        hidden = encode(hidden if deviation == 1 else hidden / deviation)
        for index in range(depth):
            layer, omega = weights[f'layer_{index}'], omega_of(index)
            hidden = mlp.activation(affine(layer, hidden, scale=omega), omega, layer)
        return affine(weights[f'layer_{depth}'], hidden).T

    return Inr(init=init, apply=apply, metadata=metadata)
