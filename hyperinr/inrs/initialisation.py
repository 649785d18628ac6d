"""Initialisation of coordinate MLPs: rules for weights and biases, and the published schemes composed of them.

An `Initialisation` has a rule for the weight matrices, a rule for the biases, and a deviation by which coordinates are
divided. A rule is a function of one `Layer`. The functions below are factories of rules, so that gin can compose a
scheme as well: ``compose.weights = @sine_weights()``, ``compose.biases = @omega_biases()``.

Letters: ``in``, ``out`` units on either side of a layer.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from hyperinr import weights as weights_lib
from hyperinr.arguments import check_choice, check_positive
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = [
    'OUTPUT_BIAS',
    'Distribution',
    'Initialisation',
    'Layer',
    'Rule',
    'compose',
    'draw_layer',
    'fan_in_biases',
    'fan_in_weights',
    'in_range',
    'omega_biases',
    'plain',
    'sine',
    'sine_weights',
    'zero_biases',
]

Distribution = Literal['uniform', 'normal']
OUTPUT_BIAS = 0.5
"""Output of a fresh INR on average: the middle of the data range [0, 1]; `in_range` maps it to others."""


class Layer(NamedTuple):
    """The description of one layer, from which a rule draws its tensors.

    Attributes:
      position: 0 for the layer on the coordinates (or their features), ``depth`` for the output layer.
      depth: number of hidden layers.
      fan_in: in.
      fan_out: out.
      omega: frequency factor of the layer's activation. The output layer has that of the hidden layers; 1 if the family
        has none.
      before: ``x -> a(x)``, the fresh activation of the layer before; ``None`` in the first layer, and if the
        activation is not a real function.
      after: the fresh activation of this layer; ``None`` in the last layer, and if the activation is not a real
        function.
    """

    position: int
    depth: int
    fan_in: int
    fan_out: int
    omega: float
    before: Callable[[Array], Array] | None = None
    after: Callable[[Array], Array] | None = None


Rule = Callable[[Key, Layer], Array]
"""``(key, layer) -> w [in, out]`` or ``b [out]``; consumes the key."""


class Initialisation(NamedTuple):
    """A scheme for the weights and biases of all layers.

    Attributes:
      weights: rule for the weight matrices ``[in, out]``.
      biases: rule for the biases ``[out]``; the INR adds its ``output_bias`` to those of the last layer.
      input_deviation: coordinates are divided by it before the first layer, > 0. It is part of the *function*, so the
        INR's metadata state it.
    """

    weights: Rule
    biases: Rule
    input_deviation: float = 1.0


def compose(*, weights: Rule, biases: Rule, input_deviation: float = 1.0) -> Initialisation:
    """Compose an `Initialisation` of its parts.

    Args:
      weights: a rule of this module, or any other.
      biases: a rule of this module, or any other.
      input_deviation: > 0; coordinates U(-1, 1) have a standard deviation of ``1/sqrt(3)`` = 0.577.

    Raises:
      ValueError: ``input_deviation`` not positive.

    Example:
      >>> scheme = compose(weights=sine_weights(first_bound=1.73), biases=zero_biases(), input_deviation=0.5779)
    """
    check_positive('an initialisation', input_deviation=input_deviation)
    return Initialisation(weights, biases, input_deviation)


def draw_layer(scheme: Initialisation, w_key: Key, b_key: Key, layer: Layer, *, output_bias: float) -> dict[str, Array]:
    """Draw ``{'w': [in, out], 'b': [out]}`` of a fresh layer; ``output_bias`` shifts the biases of the output layer."""
    biases = scheme.biases(b_key, layer)
    if layer.position == layer.depth:
        biases = biases + output_bias
    return {'w': scheme.weights(w_key, layer), 'b': biases}


def _draw(key: Key, shape: tuple[int, ...], bound: float, distribution: Distribution) -> Array:
    """Draw from U(-bound, bound), or from a normal distribution of the same standard deviation ``bound / sqrt(3)``."""
    if distribution == 'uniform':
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)
    return bound / math.sqrt(3) * jax.random.normal(key, shape)


def sine_weights(
    *,
    distribution: Distribution = 'uniform',
    first_bound: float = 1.0,
    hidden_gain: float = 1.0,
    scale: float = 1.0,
) -> Rule:
    """Make the rule for sine layers: bounds ``first_bound / in`` in the first, ``sqrt(6 / in) / omega`` in all others.

    Sitzmann et al., "Implicit neural representations with periodic activation functions" (2020), section 3.2 and
    supplement, section 1.5. ``scale`` is the weight scaling of Yeom, Lee and Lee, "Fast training of sinusoidal neural
    fields via scaling initialization" (2025): it multiplies every matrix but the last (WS-SIREN).

    Args:
      distribution: U(-bound, bound), or a normal distribution of the same standard deviation.
      first_bound: numerator of the first layer's bound, > 0; ``sqrt(3)`` gives a standard deviation of ``1 / in``.
      hidden_gain: factor of the other layers' bounds, > 0.
      scale: factor of all layers' weights but the last, > 0.

    Raises:
      ValueError: an unknown distribution, or a value that is not positive.
    """
    check_choice('distribution', distribution, get_args(Distribution))
    check_positive('sine_weights', first_bound=first_bound, hidden_gain=hidden_gain, scale=scale)

    def rule(key: Key, layer: Layer) -> Array:
        if layer.position == 0:
            bound = first_bound / layer.fan_in
        else:
            bound = hidden_gain * math.sqrt(6 / layer.fan_in) / layer.omega
        bound *= 1.0 if layer.position == layer.depth else scale
        return _draw(key, (layer.fan_in, layer.fan_out), bound, distribution)

    return rule


def fan_in_weights(
    *, distribution: Distribution = 'uniform', gain: float = 1 / 3, output_gain: float | None = None
) -> Rule:
    """Make the rule for a variance of ``gain / in`` in every layer.

    ``gain = 1/3``, uniform: ``U(-1/sqrt(in), +)``, the default of PyTorch's linear layers. ``gain = 2``: He, Zhang, Ren
    and Sun, "Delving deep into rectifiers" (2015), eq. 10.

    Args:
      distribution: 'uniform' or 'normal'.
      gain: > 0.
      output_gain: gain of the last layer, > 0; ``None``: ``gain``.

    Raises:
      ValueError: an unknown distribution, or a gain that is not positive.
    """
    check_choice('distribution', distribution, get_args(Distribution))
    check_positive('fan_in_weights', gain=gain, output_gain=output_gain)
    last = gain if output_gain is None else output_gain

    def rule(key: Key, layer: Layer) -> Array:
        bound = math.sqrt(3 * (last if layer.position == layer.depth else gain) / layer.fan_in)
        return _draw(key, (layer.fan_in, layer.fan_out), bound, distribution)

    return rule


def fan_in_biases(*, divisor: float = 1.0) -> Rule:
    """Make the rule ``U(-1/sqrt(in), +)``, the default of PyTorch's linear layers, divided by ``divisor`` > 0.

    Raises:
      ValueError: ``divisor`` not positive.
    """
    check_positive('fan_in_biases', divisor=divisor)

    def rule(key: Key, layer: Layer) -> Array:
        return jax.random.uniform(key, (layer.fan_out,), minval=-1, maxval=1) / (divisor * math.sqrt(layer.fan_in))

    return rule


def omega_biases(*, bound: float = math.pi, first_bound: float | None = None) -> Rule:
    """Make the rule ``U(-bound/omega, +)``: phases of up to ``bound`` radians in every sine layer.

    Args:
      bound: radians, > 0; pi spreads the phases over the whole circle.
      first_bound: bound of the first layer's biases *themselves*, without the division by omega, > 0 (FINER's k);
        ``None``: as in all other layers.

    Raises:
      ValueError: a bound that is not positive.
    """
    check_positive('omega_biases', bound=bound, first_bound=first_bound)

    def rule(key: Key, layer: Layer) -> Array:
        largest = bound / layer.omega if layer.position or first_bound is None else first_bound
        return jax.random.uniform(key, (layer.fan_out,), minval=-largest, maxval=largest)

    return rule


def zero_biases() -> Rule:
    """Make the rule for zero biases."""
    return lambda key, layer: jnp.zeros(layer.fan_out)


def sine() -> Initialisation:
    """Make the scheme of the SIREN paper: `sine_weights` with `fan_in_biases`, as in its authors' code."""
    return Initialisation(sine_weights(), fan_in_biases())


def plain() -> Initialisation:
    """Make the default scheme of PyTorch's linear layers, with which several families were published."""
    return Initialisation(fan_in_weights(), fan_in_biases())


def in_range(inr: Inr, data_range: tuple[float, float]) -> Inr:
    """Return an INR whose fresh output biases are mapped from [0, 1] to ``data_range``; the same INR for (0, 1).

    Args:
      inr: an INR for values in [0, 1].
      data_range: ``(low, high)``.
    """
    low, high = data_range
    if (low, high) == (0, 1):
        return inr

    def init(key: Key, coord_dims: int) -> InrWeights:
        weights = dict(inr.init(key, coord_dims))
        layer = weights_lib.spec_of(weights).layers[-1]
        return weights | {layer: {**weights[layer], 'b': low + (high - low) * weights[layer]['b']}}

    return inr._replace(init=init)
