"""Optimisers for a fit: optax transformations of the flat weight vector ``[P]`` that the engine carries.

Each is a factory of keyword-only hyperparameters that returns ``(spec) -> optax.GradientTransformation``. The
specification tells the optimiser where the layers are in the flat vector. All factories take a ``learning_rate``, which
may be traced, and a ``schedule``, the factor of the rate at each step (`hyperinr.fitting.rate_schedules`).

To add an optimiser, write one factory here and add it to `OPTIMIZERS` and `RATES`. `family` then makes it available to
`hyperinr.fitting.best_rate`. A gin file in ``fit_optimizer/`` makes it available to ``hyperinr fit``.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import optax

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.fitting.conjugate_gradient import conjugate_gradient_steps
from hyperinr.fitting.search import Family
from hyperinr.types import Array
from hyperinr.weights import WeightSpec

__all__ = [
    'OPTIMIZERS',
    'RATES',
    'FlatOptimizer',
    'adam',
    'adamw',
    'amsgrad',
    'by_layers',
    'conjugate_gradient',
    'diagonal_curvature',
    'family',
    'lbfgs',
    'make',
    'muon',
    'sgd',
]

FlatOptimizer = Callable[[WeightSpec], optax.GradientTransformation]
"""``spec -> optimiser`` of vectors ``[P]`` with the layout ``spec``."""


def _rate(learning_rate: float | Array, schedule: optax.Schedule | None) -> optax.ScalarOrSchedule:
    if isinstance(learning_rate, (int, float)) and not learning_rate > 0:
        raise ValueError(f'learning_rate must be above 0, not {learning_rate}.')
    return learning_rate if schedule is None else lambda step: learning_rate * schedule(step)


def adam(
    *,
    learning_rate: float | Array = 2e-3,
    schedule: optax.Schedule | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
) -> FlatOptimizer:
    """Return Adam. Kingma and Ba, "Adam: a method for stochastic optimization" (2015).

    Args:
      learning_rate: > 0.
      schedule: factor of the learning rate at each step; ``None``: always 1.
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).

    Raises:
      ValueError: the learning rate is not positive.
    """
    rate = _rate(learning_rate, schedule)
    return lambda spec: optax.adam(rate, b1=b1, b2=b2)


def adamw(
    *, learning_rate: float | Array = 2e-3, schedule: optax.Schedule | None = None, weight_decay: float = 1e-4
) -> FlatOptimizer:
    """Return AdamW. Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).

    Args:
      learning_rate, schedule: as for `adam`.
      weight_decay: each step shrinks the weights by this fraction times the rate.

    Raises:
      ValueError: as for `adam`.
    """
    rate = _rate(learning_rate, schedule)
    return lambda spec: optax.adamw(rate, weight_decay=weight_decay)


def amsgrad(
    *,
    learning_rate: float | Array = 1e-3,
    schedule: optax.Schedule | None = None,
    b1: float = 0.9,
    b2: float = 0.99,
) -> FlatOptimizer:
    """Return AMSGrad, which divides by the largest second moment so far.

    Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018), algorithm 2.

    Args:
      learning_rate, schedule, b1, b2: as for `adam`.

    Raises:
      ValueError: as for `adam`.
    """
    rate = _rate(learning_rate, schedule)
    return lambda spec: optax.amsgrad(rate, b1=b1, b2=b2)


def sgd(
    *, learning_rate: float | Array = 1e-2, schedule: optax.Schedule | None = None, momentum: float = 0.9
) -> FlatOptimizer:
    """Return gradient descent with momentum.

    Args:
      learning_rate, schedule: as for `adam`.
      momentum: in [0, 1).

    Raises:
      ValueError: as for `adam`.
    """
    rate = _rate(learning_rate, schedule)
    return lambda spec: optax.sgd(rate, momentum=momentum)


def by_layers(optimizer: optax.GradientTransformation, spec: WeightSpec) -> optax.GradientTransformation:
    """Turn an optimiser of weight pytrees into one of flat vectors ``[P]`` in the order of ``spec``."""

    def init(flat: Array) -> optax.OptState:
        return optimizer.init(weights_lib.unflatten(flat, spec))

    def update(flat: Array, state: optax.OptState, params: Array | None = None) -> tuple[Array, optax.OptState]:
        tree = None if params is None else weights_lib.unflatten(params, spec)
        updates, state = optimizer.update(weights_lib.unflatten(flat, spec), state, tree)
        return weights_lib.flatten(updates, spec), state

    return optax.GradientTransformation(init, update)


def muon(*, learning_rate: float | Array = 3e-3, schedule: optax.Schedule | None = None) -> FlatOptimizer:
    """Return Muon for hidden matrices, with Adam and Nesterov momentum at the same rate for all other tensors.

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). The hidden matrices are the tensors
    of two axes in all layers but the first and the last. They are square here, so Muon's scale by their shape is 1.

    Args:
      learning_rate, schedule: as for `adam`.

    Raises:
      ValueError: as for `adam`.
    """
    rate = _rate(learning_rate, schedule)

    def of(spec: WeightSpec) -> optax.GradientTransformation:
        hidden = [layer for layer in spec.layers if layer.startswith('layer_')][1:-1]
        chosen: dict[str, dict[str, optax.contrib.MuonDimensionNumbers | None]] = {}
        for path, shape in zip(spec.paths, spec.shapes, strict=True):
            layer, name = path.split('/')
            is_hidden = layer in hidden and len(shape) == 2
            chosen.setdefault(layer, {})[name] = optax.contrib.MuonDimensionNumbers() if is_hidden else None
        return by_layers(optax.contrib.muon(rate, adam_learning_rate=rate, muon_weight_dimension_numbers=chosen), spec)

    return of


def lbfgs(
    *,
    learning_rate: float | Array = 0.3,
    schedule: optax.Schedule | None = None,
    memory_size: int = 10,
    largest_step: float = 1.0,
) -> FlatOptimizer:
    """Return L-BFGS without a line search: the quasi-Newton direction, clipped to a length, times the rate.

    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (1989). A step costs one gradient,
    as for the other optimisers, so that step counts can be compared. The rate and the clipping replace the line search
    as the guard against steps that are too long.

    Args:
      learning_rate: factor of the direction, at most 1.
      schedule: as for `adam`.
      memory_size: number of stored pairs of steps and gradient changes, >= 1.
      largest_step: maximum length of the direction, in the norm of all weights, > 0.

    Raises:
      ValueError: as for `adam`.
    """
    rate = _rate(learning_rate, schedule)
    return lambda spec: optax.chain(
        optax.scale_by_lbfgs(memory_size=memory_size),
        optax.clip_by_global_norm(largest_step),
        optax.scale_by_learning_rate(rate),
    )


class _CurvatureState(NamedTuple):
    """State of `diagonal_curvature`: steps done ``[]``; mean gradient, diagonal and last step, each ``[P]``."""

    steps: Array
    mean: Array
    diagonal: Array
    last: Array


def diagonal_curvature(
    *,
    learning_rate: float | Array = 0.3,
    schedule: optax.Schedule | None = None,
    decay: float = 0.9,
    floor: float = 1.0,
    epsilon: float = 1e-4,
    largest_step: float = 1.0,
) -> FlatOptimizer:
    """Return a damped diagonal quasi-Newton method that estimates curvatures from successive gradients.

    The diagonal B is that of Ma, "Apollo: an adaptive parameter-wise diagonal quasi-Newton method for nonconvex
    stochastic optimization" (2020). Each update changes B as little as the weak secant condition (eq. 6)
    ``s^T B s = s^T y`` allows, for the last step s and the change y of the mean gradient. The step is
    ``rate * mean / max(|B|, floor)``, clipped to the length ``largest_step``. Two things differ from the paper: s is
    the step that was taken, so the rate only damps; and one condition holds for the whole weight vector instead of one
    for each tensor.

    Args:
      learning_rate: at most 1.
      schedule: as for `adam`.
      decay: decay of the mean gradient, in [0, 1).
      floor: lower bound of the absolute curvature, > 0. No weight moves faster than by gradient descent at
        ``rate / floor``.
      epsilon: guards the division by the fourth power of a short step, > 0.
      largest_step: maximum length of a step, in the norm of all weights, > 0.

    Raises:
      ValueError: as for `adam`.
    """
    rate = _rate(learning_rate, schedule)

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
        now = rate(state.steps) if callable(rate) else rate
        step = -now * mean / jnp.maximum(jnp.abs(diagonal), floor)
        step = step * jnp.minimum(1, largest_step / (jnp.linalg.norm(step) + 1e-12))
        return step, _CurvatureState(steps, mean, diagonal, step)

    return lambda spec: optax.GradientTransformation(init, update)


def conjugate_gradient(
    *,
    learning_rate: float | Array = 1.0,
    schedule: optax.Schedule | None = None,
    decay: float = 0.99,
    parts: int = 3,
    damping: float = 1e-3,
    retreat: float = 0.25,
) -> FlatOptimizer:
    """Return conjugate gradients, preconditioned as in Adam, with step lengths from a quadratic model of the loss.

    A step is ``a d + b s``. The direction d is the negative gradient over the root of its mean square
    (``-g / sqrt(v)``, as in RMSProp), and s is the last step. The lengths a and b minimise the Gauss-Newton model in
    the plane of d and s. For a linear INR and a constant v, these are preconditioned conjugate gradients. The plane:
    Yuan and Stoer, "A subspace study on conjugate gradient algorithms" (1995). The lengths: Martens and Grosse,
    "Optimizing neural networks with Kronecker-factored approximate curvature" (2015), section 7. If the loss rises
    after a step, the next step takes it back to a fraction, at the cost of one gradient.

    A step costs 1.6 times a step of Adam, because of two tangents at a third of the points (docs/decisions.md). Only
    `hyperinr.fitting` can run this optimiser, because it provides the model. Under sub-sampling no step is taken back.

    Args:
      learning_rate: factor of the lengths, < 2. At 1 a step ends at the minimum of the model; at 2 the model is as high
        as before the step.
      schedule: as for `adam`.
      decay: decay of the mean square, in [0, 1).
      parts: number of parts that the points are divided into, >= 1. Each step takes the curvature from the next part.
      damping: added to the curvature along each direction, relative to it, > 0.
      retreat: fraction of a step that is kept if the loss has risen, in [0, 1).

    Raises:
      ValueError: a value is outside its range.
    """
    rate = _rate(learning_rate, schedule)
    if parts < 1 or not 0 <= decay < 1 or not damping > 0 or not 0 <= retreat < 1:
        raise ValueError(
            f'conjugate_gradient: a value is outside its range: {parts=}, {decay=}, {retreat=}, {damping=}.'
        )
    return lambda spec: conjugate_gradient_steps(rate, decay=decay, parts=parts, damping=damping, retreat=retreat)


OPTIMIZERS: Mapping[str, Callable[..., FlatOptimizer]] = {
    factory.__name__: factory
    for factory in (adam, adamw, amsgrad, sgd, muon, lbfgs, diagonal_curvature, conjugate_gradient)
}
"""Name -> factory."""

RATES: Mapping[str, tuple[float, ...]] = {
    **dict.fromkeys(('adam', 'adamw', 'amsgrad'), (5e-4, 1e-3, 2e-3, 4e-3)),
    **dict.fromkeys(('sgd', 'muon'), (1e-3, 3e-3, 1e-2)),
    **dict.fromkeys(('lbfgs', 'diagonal_curvature'), (0.1, 0.3, 1.0)),
    'conjugate_gradient': (0.7, 1.0),
}
"""Name -> learning rates that a search tries first."""


def make(
    name: str, rate: float | Array, spec: WeightSpec, schedule: optax.Schedule | None = None
) -> optax.GradientTransformation:
    """Return the optimiser ``name`` of `OPTIMIZERS` at a learning rate, times a schedule.

    Raises:
      InputError: there is no such optimiser.
    """
    if name not in OPTIMIZERS:
        raise InputError(f'no optimiser {name!r}; choose one of {", ".join(OPTIMIZERS)}.')
    return OPTIMIZERS[name](learning_rate=rate, schedule=schedule)(spec)


def family(
    name: str,
    spec: WeightSpec,
    *,
    wrap: Callable[[optax.GradientTransformation], optax.GradientTransformation] = lambda optimizer: optimizer,
    schedule: optax.Schedule | None = None,
) -> Family:
    """Return an optimiser with a free learning rate, for `hyperinr.fitting.best_rate`.

    Args:
      name: a key of `OPTIMIZERS`.
      spec: layout of the INR's weights.
      wrap: applied to the optimiser, e.g. to freeze layers.
      schedule: factor of the rate at each step; ``None``: always 1.

    Raises:
      InputError: there is no such optimiser, or ``wrap`` raises it.

    Example:
      >>> spec = WeightSpec(('layer_0/b', 'layer_0/w'), ((3,), (2, 3)))
      >>> family('adamw', spec).rates
      (0.0005, 0.001, 0.002, 0.004)
    """
    wrap(make(name, 1e-3, spec))
    return Family(lambda rate: wrap(make(name, rate, spec, schedule)), RATES[name])
