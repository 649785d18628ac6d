"""Initial weights that keep the variance of pre-activations from layer to layer, for any activation.

Hewa Koneputugodage, Ben-Shabat, Ramasinghe and Gould, "VI3NR: variance informed initialization for implicit neural
representations" (2025). As in the paper, expectations are Monte Carlo estimates: no activation needs a derivation.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.arguments import check_positive
from hyperinr.inrs.initialisation import Distribution, Initialisation, Layer, Rule, fan_in_weights, zero_biases
from hyperinr.types import Array, Key

__all__ = ['activation_moments', 'balanced_deviation', 'variance_informed', 'variance_informed_weights']

NUM_SAMPLES = 2**16
"""Number of standard normal samples, negatives included: the noise in the moments of a Gaussian is 0.6 %."""


@functools.cache
def _samples() -> np.ndarray:
    """Draw the samples with NumPy's legacy generator, which gives the same numbers in all versions."""
    half = np.random.RandomState(0).standard_normal(NUM_SAMPLES // 2)
    return np.concatenate([half, -half]).astype(np.float32)


def activation_moments(activation: Callable[[Array], Array], deviation: float) -> tuple[float, float]:
    """Estimate ``E[a(z)^2]`` and ``E[a'(z)^2]``, z from ``N(0, deviation^2)``; two floats, also under ``jax.jit``."""
    with jax.ensure_compile_time_eval():
        z = jnp.asarray(deviation * _samples())
        value, slope = jax.jvp(activation, (z,), (jnp.ones_like(z),))
        return float(jnp.mean(jnp.square(value))), float(jnp.mean(jnp.square(slope)))


def balanced_deviation(activation: Callable[[Array], Array]) -> float:
    """Find the deviation of pre-activations at which gradients keep their variance too: ``s^2 E[a'^2] = E[a^2]``.

    This is the paper's condition on the backward pass. Its authors solve it on a grid. Here the first crossing between
    neighbours of a grid from 1e-3 to 1e2 is refined by bisection.

    Raises:
      ValueError: there is no such deviation. A sine has none: its gradients grow at any deviation.
    """

    def excess(deviation: float) -> float:
        square, slope = activation_moments(activation, deviation)
        ratio = deviation**2 * slope / square if square > 0 else math.inf
        return math.log(ratio) if ratio > 0 else -math.inf

    grid = np.geomspace(1e-3, 1e2, 51)
    values = [excess(float(deviation)) for deviation in grid]
    for low, high, below, above in zip(grid[:-1], grid[1:], values[:-1], values[1:], strict=True):
        # An excess of 0 up to rounding is no crossing: the activation is linear there.
        if below < -1e-3 and above > 1e-3:
            for _ in range(20):
                middle = math.sqrt(low * high)
                low, high = (middle, high) if excess(middle) < 0 else (low, middle)
            return math.sqrt(low * high)
    raise ValueError(
        'no deviation keeps the variance of the gradients for this activation; give preactivation_deviation, e.g. '
        '1/omega for a sine.'
    )


def variance_informed_weights(
    *,
    preactivation_deviation: float | None = None,
    output_deviation: float | None = None,
    input_square: float = 1 / 3,
    distribution: Distribution = 'uniform',
) -> Rule:
    """Make the rule ``Var(w) = s^2 / (in E[a(z)^2])``, z from ``N(0, s^2)``: the next ``z`` has variance s^2 again.

    Args:
      preactivation_deviation: s > 0; ``None``: `balanced_deviation`.
      output_deviation: standard deviation of the outputs, > 0; ``None``: s.
      input_square: mean square of the first layer's inputs, > 0: 1/3 for coordinates U(-1, 1), 1/2 for sines.
      distribution: 'uniform' or 'normal'.

    Returns:
      A rule for any INR whose hidden activation is a real function.

    Raises:
      ValueError: a value is not positive. The rule raises it for an activation without a balanced deviation, and for an
        INR without a real activation.
    """
    check_positive('variance_informed_weights', preactivation_deviation=preactivation_deviation)
    check_positive('variance_informed_weights', output_deviation=output_deviation, input_square=input_square)
    of_unit_variance = fan_in_weights(distribution=distribution, gain=1.0)

    def deviation_of(activation: Callable[[Array], Array]) -> float:
        return preactivation_deviation or balanced_deviation(activation)

    def rule(key: Key, layer: Layer) -> Array:
        square = input_square
        if layer.before is not None:
            square, _ = activation_moments(layer.before, deviation_of(layer.before))
        if layer.after is not None:
            wanted = deviation_of(layer.after)
        elif layer.before is not None:
            wanted = output_deviation or deviation_of(layer.before)
        else:
            raise ValueError('variance_informed_weights needs an INR whose hidden layers have a real activation.')
        return wanted / math.sqrt(square) * of_unit_variance(key, layer)

    return rule


def variance_informed(
    *,
    preactivation_deviation: float | None = None,
    output_deviation: float | None = None,
    input_square: float = 1 / 3,
    distribution: Distribution = 'uniform',
) -> Initialisation:
    """Make the scheme of `variance_informed_weights` with zero biases, as in the paper's pre-activations.

    Args:
      preactivation_deviation, output_deviation, input_square, distribution: see `variance_informed_weights`.

    Raises:
      ValueError: see `variance_informed_weights`.
    """
    weights = variance_informed_weights(
        preactivation_deviation=preactivation_deviation,
        output_deviation=output_deviation,
        input_square=input_square,
        distribution=distribution,
    )
    return Initialisation(weights, zero_biases())
