"""Optimisers for a fit, all as optax transformations of the flat weight vector ``[P]`` that the engine carries.

`OPTIMIZERS` are factories ``(rate, spec) -> optax.GradientTransformation``; `family` makes of one of them what
`hyperinr.fitting.best_rate` searches. The specification lets an optimiser see the layers again.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import optax

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.fitting.search import Family
from hyperinr.types import Array
from hyperinr.weights import WeightSpec

__all__ = ['OPTIMIZERS', 'RATES', 'by_layers', 'diagonal_curvature', 'family', 'limited_memory', 'make', 'muon']


def by_layers(optimizer: optax.GradientTransformation, spec: WeightSpec) -> optax.GradientTransformation:
    """An optimiser of weight pytrees as one of flat vectors ``[P]`` in the order of ``spec``."""

    def init(flat: Array) -> optax.OptState:
        return optimizer.init(weights_lib.unflatten(flat, spec))

    def update(flat: Array, state: optax.OptState, params: Array | None = None) -> tuple[Array, optax.OptState]:
        tree = None if params is None else weights_lib.unflatten(params, spec)
        updates, state = optimizer.update(weights_lib.unflatten(flat, spec), state, tree)
        return weights_lib.flatten(updates, spec), state

    return optax.GradientTransformation(init, update)


def muon(rate: float | Array, spec: WeightSpec) -> optax.GradientTransformation:
    """Muon on hidden matrices; Adam with Nesterov momentum, at the same rate, on first and last layers and biases.

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Hidden matrices are square here, so
    that its scale by their shape is 1.

    Args:
      rate: learning rate, may be traced.
      spec: of the INR; hidden are the tensors of two axes in all layers but the first and the last.
    """
    layers = list(dict.fromkeys(path.split('/')[0] for path in spec.paths if path.startswith('layer_')))
    hidden = set(layers[1:-1])
    chosen: dict[str, dict[str, optax.contrib.MuonDimensionNumbers | None]] = {}
    for path, shape in zip(spec.paths, spec.shapes, strict=True):
        layer, name = path.split('/')
        is_hidden = layer in hidden and len(shape) == 2
        chosen.setdefault(layer, {})[name] = optax.contrib.MuonDimensionNumbers() if is_hidden else None
    optimizer = optax.contrib.muon(rate, adam_learning_rate=rate, muon_weight_dimension_numbers=chosen)
    return by_layers(optimizer, spec)


def limited_memory(
    rate: float | Array, *, memory_size: int = 10, largest_step: float = 1.0
) -> optax.GradientTransformation:
    """L-BFGS without a line search: the quasi-Newton direction, cut to a length, times the rate.

    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (1989). A step costs one gradient,
    as with every other optimiser here, so that steps compare; what a line search guards against is left to the rate and
    the cut.

    Args:
      rate: factor of the direction, at most 1; may be traced.
      memory_size: pairs of steps and gradient changes that are kept, >= 1.
      largest_step: longest direction, in the norm of all weights, > 0.
    """
    return optax.chain(
        optax.scale_by_lbfgs(memory_size=memory_size),
        optax.clip_by_global_norm(largest_step),
        optax.scale_by_learning_rate(rate),
    )


class _CurvatureState(NamedTuple):
    """Of `diagonal_curvature`: steps done ``[]``; mean gradient, diagonal and last step, each ``[P]``."""

    steps: Array
    mean: Array
    diagonal: Array
    last: Array


def diagonal_curvature(
    rate: float | Array, *, decay: float = 0.9, floor: float = 1.0, epsilon: float = 1e-4, largest_step: float = 1.0
) -> optax.GradientTransformation:
    """A damped diagonal quasi-Newton method: the curvature of each weight from successive gradients.

    The diagonal B is that of Ma, "Apollo: an adaptive parameter-wise diagonal quasi-Newton method for nonconvex
    stochastic optimization" (2020): changed as little as the weak secant condition (eq. 6) ``s^T B s = s^T y`` allows,
    for the last step s and the change y of the mean gradient. The step is ``rate * mean / max(|B|, floor)``, its length
    at most ``largest_step``. Unlike there, s is the step taken, so that the rate only damps, and one condition holds
    for the whole weight vector instead of one for each tensor.

    Args:
      rate: at most 1; may be traced.
      decay: of the mean gradient, in [0, 1).
      floor: of the absolute curvature, > 0: no weight moves faster than by gradient descent at ``rate / floor``.
      epsilon: guards the division by the fourth power of a short step, > 0.
      largest_step: in the norm of all weights, > 0.
    """

    def init(flat: Array) -> _CurvatureState:
        zeros = jnp.zeros_like(flat)
        return _CurvatureState(jnp.zeros((), jnp.int32), zeros, zeros, zeros)

    def update(gradient: Array, state: _CurvatureState, params: Array | None = None) -> tuple[Array, _CurvatureState]:
        del params
        steps = state.steps + 1
        change = (gradient - state.mean) * (1 - decay) / (1 - decay ** jnp.asarray(steps, jnp.float32))
        last = state.last
        excess = jnp.vdot(last**2, state.diagonal) - jnp.vdot(last, change)
        diagonal = state.diagonal - excess / (jnp.sum(last**4) ** 0.25 + epsilon) ** 4 * last**2
        mean = state.mean + change
        step = -rate * mean / jnp.maximum(jnp.abs(diagonal), floor)
        step = step * jnp.minimum(1, largest_step / (jnp.linalg.norm(step) + 1e-12))
        return step, _CurvatureState(steps, mean, diagonal, step)

    return optax.GradientTransformation(init, update)


OPTIMIZERS: Mapping[str, Callable[[float | Array, WeightSpec], optax.GradientTransformation]] = {
    'adam': lambda rate, spec: optax.adam(rate),
    'adamw': lambda rate, spec: optax.adamw(rate),
    'muon': muon,
    'lbfgs': lambda rate, spec: limited_memory(rate),
    'diagonal_curvature': lambda rate, spec: diagonal_curvature(rate),
}
"""Name -> ``(rate, spec) -> optimiser of flat vectors``."""

RATES: Mapping[str, tuple[float, ...]] = {
    'adam': (5e-4, 1e-3, 2e-3, 4e-3),
    'adamw': (5e-4, 1e-3, 2e-3, 4e-3),
    'muon': (1e-3, 3e-3, 1e-2),
    'lbfgs': (0.1, 0.3, 1.0),
    'diagonal_curvature': (0.1, 0.3, 1.0),
}
"""Where a search begins."""


def make(name: str, rate: float | Array, spec: WeightSpec) -> optax.GradientTransformation:
    """One of `OPTIMIZERS`.

    Raises:
      InputError: no such optimiser.
    """
    if name not in OPTIMIZERS:
        raise InputError(f'no optimiser {name!r}; choose one of {", ".join(OPTIMIZERS)}.')
    return OPTIMIZERS[name](rate, spec)


def family(
    name: str,
    spec: WeightSpec,
    *,
    wrap: Callable[[optax.GradientTransformation], optax.GradientTransformation] = lambda optimizer: optimizer,
) -> Family:
    """An optimiser up to its rate, for `hyperinr.fitting.best_rate`.

    Args:
      name: of `OPTIMIZERS`.
      spec: of the INR.
      wrap: applied to the optimiser, e.g. to freeze layers.

    Raises:
      InputError: no such optimiser.

    Example:
      >>> spec = WeightSpec(('layer_0/b', 'layer_0/w'), ((3,), (2, 3)))
      >>> family('adamw', spec).rates
      (0.0005, 0.001, 0.002, 0.004)
    """
    make(name, 1e-3, spec)
    return Family(lambda rate: wrap(make(name, rate, spec)), RATES[name])
