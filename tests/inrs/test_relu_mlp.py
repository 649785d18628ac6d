"""The ReLU MLP with positional encoding."""

import jax
import numpy as np
import pytest

from hyperinr import inrs
from hyperinr.inrs.feature_mlps import positional_encoding


def test_the_encoding_is_nerfs():
    coords = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    angles = [2.0**octave * np.pi * coords.astype(np.float64) for octave in range(3)]
    expected = np.concatenate([coords, *map(np.sin, angles), *map(np.cos, angles)], axis=1)
    np.testing.assert_allclose(positional_encoding(coords, 3), expected, atol=1e-6)
    np.testing.assert_array_equal(positional_encoding(coords, 0), coords)


@pytest.mark.parametrize('num_frequencies', [0, 4])
def test_evaluates_its_formula(num_frequencies):
    inr = inrs.relu_mlp(channels=2, width=8, depth=2, num_frequencies=num_frequencies)
    weights = inr.init(jax.random.key(0), 3)
    coords = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
    hidden = np.asarray(positional_encoding(coords, num_frequencies), np.float64)
    for layer in range(3):
        hidden = hidden @ np.asarray(weights[f'layer_{layer}']['w']) + np.asarray(weights[f'layer_{layer}']['b'])
        hidden = hidden if layer == 2 else np.maximum(hidden, 0)
    np.testing.assert_allclose(inr.apply(weights, coords), hidden, atol=1e-5)


def test_activations_keep_their_scale_at_every_depth():
    """He et al. (2015), eq. 10: the mean square of the pre-activations does not change; the linear output halves it."""
    inr = inrs.relu_mlp(channels=256, width=256, depth=5, num_frequencies=6, output_bias=0.0)
    coords = np.random.default_rng(0).uniform(-1, 1, (512, 2)).astype(np.float32)
    squares = []
    for key in jax.random.split(jax.random.key(0), 16):
        weights, hidden = inr.init(key, 2), np.asarray(positional_encoding(coords, 6), np.float64)
        squares.append([])
        features = np.mean(hidden**2)
        for layer in range(6):
            preactivation = hidden @ np.asarray(weights[f'layer_{layer}']['w'], np.float64)
            squares[-1].append(np.mean(preactivation**2) / features)
            hidden = np.maximum(preactivation, 0)
    np.testing.assert_allclose(np.mean(squares, axis=0), [2, 2, 2, 2, 2, 1], rtol=0.15)


@pytest.mark.parametrize('output_bias', [0.5, -3.0])
def test_biases_are_zero_but_the_outputs(output_bias):
    weights = inrs.relu_mlp(channels=3, width=8, depth=2, output_bias=output_bias).init(jax.random.key(0), 2)
    np.testing.assert_array_equal(weights['layer_1']['b'], np.zeros(8))
    np.testing.assert_array_equal(weights['layer_2']['b'], np.full(3, output_bias, np.float32))


@pytest.mark.parametrize('change', [{'channels': 0}, {'width': 0}, {'depth': 0}, {'num_frequencies': -1}])
def test_wrong_sizes_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        inrs.relu_mlp(**({'channels': 3} | change))
