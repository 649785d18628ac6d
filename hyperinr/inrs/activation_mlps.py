"""Families of coordinate MLPs that differ in their activation alone, initialised like PyTorch's linear layers.

The input of an activation is ``x = w h + b``.
"""

import jax
import jax.numpy as jnp

from hyperinr.inrs.coordinate_mlp import Mlp, coordinate_mlp
from hyperinr.inrs.initialisation import plain
from hyperinr.inrs.sine import cardinal_sine, sine

__all__ = ['FAMILIES', 'exp_sin', 'gaussian', 'laplacian', 'multi_quadratic', 'quadratic', 'sinc', 'super_gaussian']


@coordinate_mlp
def gaussian(*, deviation: float = 0.1) -> Mlp:
    """Make an MLP with Gaussian activations: layers ``exp(-x^2 / (2 a^2))``, ``x = w h + b``.

    Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      deviation: a > 0; the smaller, the higher the frequencies.
    """
    return Mlp(lambda x, omega, layer: jnp.exp(-0.5 * jnp.square(x / deviation)), plain())


@coordinate_mlp
def super_gaussian(*, deviation: float = 0.1, exponent: float = 2.0) -> Mlp:
    """Make an MLP with super-Gaussian activations: layers ``exp(-x^2 / (2 a^2))^b``, ``x = w h + b``.

    Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      deviation: a > 0; the smaller, the higher the frequencies.
      exponent: b > 0.
    """
    return Mlp(lambda x, omega, layer: jnp.exp(-0.5 * exponent * jnp.square(x / deviation)), plain())


@coordinate_mlp
def laplacian(*, scale: float = 0.1) -> Mlp:
    """Make an MLP with Laplacian activations: layers ``exp(-|x| / a)``, ``x = w h + b``.

    Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      scale: a > 0; the smaller, the higher the frequencies.
    """
    return Mlp(lambda x, omega, layer: jnp.exp(-jnp.abs(x) / scale), plain())


@coordinate_mlp
def quadratic(*, sharpness: float = 10.0) -> Mlp:
    """Make an MLP with (inverse) quadratic activations: layers ``1 / (1 + (a x)^2)``, ``x = w h + b``.

    Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      sharpness: a > 0; the larger, the higher the frequencies.
    """
    return Mlp(lambda x, omega, layer: 1 / (1 + jnp.square(sharpness * x)), plain())


@coordinate_mlp
def multi_quadratic(*, sharpness: float = 20.0) -> Mlp:
    """Make an MLP with (inverse) multi-quadratic activations: layers ``1 / sqrt(1 + (a x)^2)``, ``x = w h + b``.

    Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      sharpness: a > 0; the larger, the higher the frequencies.
    """
    return Mlp(lambda x, omega, layer: jax.lax.rsqrt(1 + jnp.square(sharpness * x)), plain())


@coordinate_mlp
def exp_sin(*, omega: float = 10.0) -> Mlp:
    """Make an MLP with exponentials of sines: layers ``exp(-sin(a x))``, ``x = w h + b``.

    Ramasinghe and Lucey, "Beyond periodicity: towards a unifying framework for activations in coordinate-MLPs" (2022).

    Initialisation: the paper finds these activations robust to it and uses the framework's default, here PyTorch's:
    weights and biases U(-1/sqrt(fan_in), +).

    Args:
      omega: a > 0; the larger, the higher the frequencies.
    """
    return Mlp(lambda x, _, layer: jnp.exp(-sine(omega * x)), plain())


@coordinate_mlp
def sinc(*, omega: float = 30.0) -> Mlp:
    """Make an MLP with sinc activations: layers ``sin(omega x) / (omega x)``, ``x = w h + b``.

    Saratchandran, Ramasinghe, Shevchenko, Long and Lucey, "A sampling theory perspective on activations for implicit
    neural representations" (2024): of the usual activations, only the shifts of sinc reconstruct band-limited signals.

    Initialisation: PyTorch's default, weights and biases U(-1/sqrt(fan_in), +).

    Args:
      omega: bandwidth, > 0.
    """
    return Mlp(lambda x, _, layer: cardinal_sine(omega * x), plain())


FAMILIES = (gaussian, super_gaussian, laplacian, quadratic, multi_quadratic, exp_sin, sinc)
