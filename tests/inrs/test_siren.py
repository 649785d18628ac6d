"""SIREN: its function, its derivatives and the statistics that its initialisation promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import inrs
from tests.statistics import siren_layers


def numpy_siren(weights, coords, *, depth, omega_0, hidden_omega_0):
    hidden = np.asarray(coords, np.float64)
    for layer in range(depth + 1):
        hidden = hidden @ np.asarray(weights[f'layer_{layer}']['w'], np.float64) + np.asarray(
            weights[f'layer_{layer}']['b']
        )
        if layer < depth:
            hidden = np.sin((omega_0 if layer == 0 else hidden_omega_0) * hidden)
    return hidden


@pytest.mark.parametrize('options', [
    {'depth': 1, 'omega_0': 30.0, 'hidden_omega_0': 30.0},
    {'depth': 3, 'omega_0': 12.0, 'hidden_omega_0': 5.0},
])  # fmt: skip
@pytest.mark.parametrize('coord_dims', [1, 2, 3])
def test_evaluates_its_formula(options, coord_dims):
    inr = inrs.siren(channels=2, width=8, **options)
    weights = inr.init(jax.random.key(0), coord_dims)
    coords = np.random.default_rng(0).uniform(-1, 1, (20, coord_dims)).astype(np.float32)
    np.testing.assert_allclose(inr.apply(weights, coords), numpy_siren(weights, coords, **options), atol=2e-4)


def test_layers_have_the_sizes_that_were_asked_for():
    weights = inrs.siren(channels=3, width=5, depth=2).init(jax.random.key(0), 4)
    shapes = {name: (layer['w'].shape, layer['b'].shape) for name, layer in weights.items()}
    assert shapes == {'layer_0': ((4, 5), (5,)), 'layer_1': ((5, 5), (5,)), 'layer_2': ((5, 3), (3,))}


@pytest.mark.parametrize(
    ('omega_0', 'hidden_omega_0', 'coord_dims'), [(30.0, 30.0, 2), (30.0, 30.0, 1), (10.0, 3.0, 3)]
)
def test_activations_keep_their_distribution_at_every_depth(omega_0, hidden_omega_0, coord_dims):
    """Sitzmann et al. (2020), supplement: hidden pre-activations of unit variance, activations of mean square 1/2.

    The first layer spreads coordinates U(-1, 1) by ``omega_0 / (3 sqrt(D))``, far beyond a period. From there
    ``var(omega W h) = 2 E[h^2]`` and, for a normal pre-activation, ``E[h^2] = (1 - exp(-2 var(omega (W h + b)))) / 2``,
    which is 1/2 where the biases spread beyond a period (omega 30) and tends to 0.44 where they do not.
    """
    width = 128
    inr = inrs.siren(channels=3, width=width, depth=6, omega_0=omega_0, hidden_omega_0=hidden_omega_0)
    coords = np.random.default_rng(0).uniform(-1, 1, (512, coord_dims))
    found = np.array([siren_layers(inr.init(key, coord_dims), inr.metadata, coords)
                      for key in jax.random.split(jax.random.key(0), 4)]).mean(axis=0)  # fmt: skip
    preactivation, square = [omega_0 / (3 * coord_dims**0.5)], [0.5]
    for _ in range(5):
        spread = 2 * square[-1]
        preactivation.append(spread**0.5)
        square.append((1 - np.exp(-2 * (spread + hidden_omega_0**2 / (3 * width)))) / 2)
    np.testing.assert_allclose(found[:, 0], preactivation, rtol=0.05)
    np.testing.assert_allclose(found[:, 1], 0, atol=0.1)
    np.testing.assert_allclose(found[:, 2], square, rtol=0.05)
    if hidden_omega_0 == 30:
        np.testing.assert_allclose(found[1:, 0], 1, rtol=0.05)
        np.testing.assert_allclose(found[:, 2], 0.5, rtol=0.05)


def test_weights_are_uniform_within_their_bounds():
    inr = inrs.siren(channels=3, width=256, depth=2, hidden_omega_0=20.0, output_bias=0.25)
    weights = inr.init(jax.random.key(1), 2)
    for layer, bound in (('layer_0', 1 / 2), ('layer_1', (6 / 256) ** 0.5 / 20), ('layer_2', (6 / 256) ** 0.5 / 20)):
        w = np.asarray(weights[layer]['w'])
        assert 0.97 * bound < np.abs(w).max() <= bound
        np.testing.assert_allclose(w.std(), bound / 3**0.5, rtol=0.08)
    assert np.abs(weights['layer_0']['b']).max() <= 2**-0.5
    assert np.abs(weights['layer_2']['b'] - 0.25).max() <= 256**-0.5


@pytest.mark.parametrize('output_bias', [0.5, 0.0, 127.5])
def test_a_fresh_inr_starts_at_the_middle_of_the_range(output_bias):
    """Within the spread of a mean of 64 sines with weights of standard deviation sqrt(2/64)/30, and the bias."""
    inr = inrs.siren(channels=3, output_bias=output_bias)
    values = inr.apply(inr.init(jax.random.key(0), 2), np.random.default_rng(0).uniform(-1, 1, (256, 2)))
    np.testing.assert_allclose(np.mean(values), output_bias, atol=0.2)


def test_first_and_second_derivatives_in_space_agree_with_double_precision():
    """The gradient of the Laplacian's square reaches the third order of the sine, as a physics loss would."""
    inr = inrs.siren(channels=1, width=6, depth=2, omega_0=10.0, hidden_omega_0=10.0)
    weights = inr.init(jax.random.key(0), 2)
    coords = np.random.default_rng(0).uniform(-1, 1, (6, 2)).astype(np.float32)

    def laplacian(weights, point):
        return jnp.trace(jax.hessian(lambda x: inr.apply(weights, x[None])[0, 0])(point))

    def energy(weights, coords):
        return jnp.mean(jax.vmap(lambda x: laplacian(weights, x))(coords) ** 2)

    functions = {
        'gradient': lambda w, x: jax.vmap(jax.grad(lambda p: inr.apply(w, p[None])[0, 0]))(x),
        'laplacian': lambda w, x: jax.vmap(lambda p: laplacian(w, p))(x),
        'gradient of energy': jax.grad(energy),
    }
    single = {name: jax.jit(function)(weights, coords) for name, function in functions.items()}
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), (weights, coords))
        for name, function in functions.items():
            for a, b in zip(jax.tree.leaves(single[name]), jax.tree.leaves(jax.jit(function)(*double)), strict=True):
                assert b.dtype == jnp.float64
                scale = np.abs(b).max() + 1e-12
                np.testing.assert_allclose(a / np.float32(scale), b / scale, atol=1e-4, err_msg=name)


@pytest.mark.parametrize('change', [
    {'channels': 0}, {'width': 0}, {'depth': 0}, {'omega_0': 0.0}, {'hidden_omega_0': -1.0},
])  # fmt: skip
def test_wrong_sizes_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        inrs.siren(**({'channels': 3} | change))
