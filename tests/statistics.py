"""Activation statistics of a SIREN, computed in double-precision NumPy from its weights alone."""

from typing import NamedTuple

import numpy as np

from hyperinr import coordinates

__all__ = ['COORDS', 'Layer', 'siren_layers']

COORDS = coordinates.grid((24, 24))


class Layer(NamedTuple):
    """One sine layer, over all coordinates and units.

    Attributes:
      preactivation: standard deviation of ``omega W x``, without the bias: the quantity that the theory speaks of.
      mean: of the activations.
      square: mean of the squared activations.
    """

    preactivation: float
    mean: float
    square: float


def siren_layers(weights, metadata, coords=COORDS) -> list[Layer]:
    """Statistics of layers 0 ... depth - 1 of one SIREN."""
    hidden, layers = np.asarray(coords, np.float64), []
    for index in range(metadata['depth']):
        omega = metadata['omega_0'] if index == 0 else metadata['hidden_omega_0']
        layer = {name: np.asarray(leaf, np.float64) for name, leaf in weights[f'layer_{index}'].items()}
        linear = omega * (hidden @ layer['w'])
        hidden = np.sin(linear + omega * layer['b'])
        layers.append(Layer(linear.std(), hidden.mean(), np.mean(hidden**2)))
    return layers
