"""Small fits, and a SIREN fitted by Adam in double precision with every formula written out."""

import jax
import numpy as np

from hyperinr import coordinates, inrs
from hyperinr.types import Datapoint

__all__ = ['SIREN', 'adam_in_double_precision', 'batch', 'starts', 'take']

SIREN = inrs.siren(channels=3, width=16, depth=2, omega_0=10.0, hidden_omega_0=8.0)


def batch(num_datapoints: int, *, side: int = 6, channels: int = 3, seed: int = 0) -> Datapoint:
    """Noise on a grid with random importances, a few points of each without any."""
    rng = np.random.default_rng(seed)
    num_points = side * side
    weight = rng.uniform(0.2, 1, (num_datapoints, num_points)) * (rng.uniform(size=(num_datapoints, num_points)) > 0.1)
    return Datapoint(
        np.tile(coordinates.grid((side, side)), (num_datapoints, 1, 1)),
        rng.uniform(0, 1, (num_datapoints, num_points, channels)).astype(np.float32),
        weight.astype(np.float32),
        np.arange(num_datapoints, dtype=np.int32),
    )


def starts(inr, num_datapoints: int, *, seed: int = 0):
    """Leaves ``[num_datapoints, ...]`` on the host."""
    keys = jax.random.split(jax.random.key(seed), num_datapoints)
    return jax.tree.map(np.asarray, jax.vmap(lambda key: inr.init(key, 2))(keys))


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def adam_in_double_precision(weights, datapoint, *, num_steps, learning_rate, omega_0=10.0, hidden_omega_0=8.0):
    """A SIREN, its weighted squared error, its gradient and Adam (Kingma and Ba, 2015, algorithm 1), point by layer.

    Returns:
      The weights after ``num_steps`` and the errors after 0, 1, ... of them.
    """
    layers = [{name: np.asarray(leaf, np.float64) for name, leaf in weights[key].items()} for key in sorted(weights)]
    moments = [{name: (np.zeros_like(leaf), np.zeros_like(leaf)) for name, leaf in layer.items()} for layer in layers]
    coords, values, weight = (np.asarray(leaf, np.float64) for leaf in datapoint[:3])
    importance = (weight / weight.sum())[:, None] / values.shape[1]
    omegas = [omega_0] + [hidden_omega_0] * (len(layers) - 2)
    errors = []
    for step in range(num_steps + 1):
        inputs, angles = [coords], []
        for layer, omega in zip(layers[:-1], omegas, strict=True):
            angles.append(omega * (inputs[-1] @ layer['w'] + layer['b']))
            inputs.append(np.sin(angles[-1]))
        residual = inputs[-1] @ layers[-1]['w'] + layers[-1]['b'] - values
        errors.append((importance * residual**2).sum())
        if step == num_steps:
            break
        outward = 2 * importance * residual
        gradients = []
        for number in reversed(range(len(layers))):
            gradients.insert(0, {'w': inputs[number].T @ outward, 'b': outward.sum(axis=0)})
            if number:
                outward = outward @ layers[number]['w'].T * omegas[number - 1] * np.cos(angles[number - 1])
        for layer, moment, gradient in zip(layers, moments, gradients, strict=True):
            for name, g in gradient.items():
                first, second = (0.9 * moment[name][0] + 0.1 * g, 0.999 * moment[name][1] + 0.001 * g**2)
                moment[name] = first, second
                corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
                layer[name] = layer[name] - learning_rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return dict(zip(sorted(weights), layers, strict=True)), np.asarray(errors)
