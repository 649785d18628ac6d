"""Modulations against the layers that their papers write down: shifts and scales of what goes into each activation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.types import Inr
from tests import parts
from tests.exhaustive import thin

KEY = jax.random.key(0)
LATENT = 6


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def made(encoder='constant', **options):
    hypernetwork = parts.make_hypernetwork(family='modulations', encoder=encoder, **options)
    return hypernetwork, jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(), 0))


def latent():
    return np.random.default_rng(0).normal(size=LATENT).astype(np.float32)


@pytest.mark.parametrize('kind', thin(['shift', 'film'], lambda kind: kind == 'film'))
def test_the_weights_are_those_of_the_modulated_network(kind):
    """``sin(omega (gamma * (W h + b) + beta))`` layer by layer in double precision, against a plain SIREN's weights."""
    hypernetwork, params = made(kind=kind, map_spread=0.5)
    weights = hypernetwork.decode(params, {'latent': latent()})
    siren = parts.INRS['siren']()
    coords = np.asarray(parts.datapoints().coords[0])
    hidden = coords.astype(np.float64)
    for layer in ('layer_0', 'layer_1'):
        w, b = (np.asarray(params['base'][layer][name], np.float64) for name in ('w', 'b'))
        values = latent().astype(np.float64) @ np.asarray(params['map'][layer]['w'], np.float64)
        gamma = 1 + values[16:] if kind == 'film' else 1
        assert np.abs(values).min() > 0
        hidden = np.sin(10 * (gamma * (hidden @ w + b) + values[:16]))
    last = params['base']['layer_2']
    expected = hidden @ np.asarray(last['w'], np.float64) + np.asarray(last['b'], np.float64)
    np.testing.assert_allclose(siren.apply(weights, coords), expected, atol=2e-5)


def test_the_last_layer_and_shifted_matrices_are_those_of_the_base():
    hypernetwork, params = made()
    weights = hypernetwork.decode(params, {'latent': latent()})
    for layer in ('layer_0', 'layer_1', 'layer_2'):
        np.testing.assert_array_equal(weights[layer]['w'], params['base'][layer]['w'])
    np.testing.assert_array_equal(weights['layer_2']['b'], params['base']['layer_2']['b'])


@pytest.mark.parametrize('kind', ['shift', 'film'])
def test_a_latent_moves_the_matrices_that_it_is_told_to(kind):
    hypernetwork, params = made(kind=kind, matrices=(1,), matrix_spread=0.7)
    weights = hypernetwork.decode(params, {'latent': latent()})
    moved = (latent() @ np.asarray(params['map']['layer_1_matrix']['w'])).reshape(16, 16)
    gamma = 1 + (latent() @ np.asarray(params['map']['layer_1']['w']))[16:] if kind == 'film' else np.ones(16)
    expected = (params['base']['layer_1']['w'] + moved) * gamma[None]
    np.testing.assert_allclose(weights['layer_1']['w'], expected, atol=1e-5)
    assert not any(name.endswith('_matrix') for name in set(params['map']) - {'layer_1_matrix'})


def test_a_fresh_matrix_moves_by_the_spread_that_was_asked_for():
    hypernetwork, params = made(latent_dims=500, matrices=(1,), matrix_spread=0.7)
    weights = hypernetwork.decode(params, {'latent': jnp.asarray(np.random.default_rng(0).normal(size=500))})
    unit = np.std(parts.INRS['siren']().init(jax.random.key(0), 2)['layer_1']['w'])
    np.testing.assert_allclose(np.std(weights['layer_1']['w'] - params['base']['layer_1']['w']), 0.7 * unit, rtol=0.2)


@pytest.mark.parametrize('matrices', [(2,), (-1,)])
def test_matrices_are_those_of_hidden_layers(matrices):
    with pytest.raises(ValueError, match='none of the 2 hidden layers, 0 to 1'):
        made(matrices=matrices)


@pytest.mark.parametrize(('map_hidden', 'linear'), [((), True), ((5,), False)])
def test_shifts_are_linear_in_the_latent_and_those_of_an_mlp_are_not(map_hidden, linear):
    hypernetwork, params = made(map_hidden=map_hidden)
    decode = lambda z: hypernetwork.decode(params, {'latent': z})['layer_1']['b']
    once, thrice = (np.asarray(decode(factor * latent()) - params['base']['layer_1']['b']) for factor in (1, 3))
    assert (np.abs(thrice - 3 * once).max() < 1e-3 * np.abs(once).max()) == linear


def test_the_latent_starts_at_zero_which_is_the_base():
    hypernetwork, params = made()
    start = hypernetwork.encode(params, take(parts.datapoints(), 0))
    np.testing.assert_array_equal(start.code['latent'], np.zeros(LATENT))
    assert not params['heads']
    jax.tree.map(np.testing.assert_array_equal, hypernetwork.base(params), params['base'])


@pytest.mark.parametrize('initial_latent', thin([0.5, 2.0], lambda spread: spread == 0.5))
def test_an_encoder_predicts_where_the_latent_starts(initial_latent):
    hypernetwork, params = made(encoder='table', latent_dims=400, initial_latent=initial_latent)
    found = [hypernetwork.encode(params, take(parts.datapoints(), row)).code['latent'] for row in range(2)]
    np.testing.assert_allclose(np.std(found, axis=1), initial_latent, rtol=0.2)
    assert np.abs(found[0] - found[1]).max() > 0.1


@pytest.mark.exhaustive
def test_the_gain_of_the_head_is_how_fast_the_latent_moves_and_not_where_it_starts():
    datapoint, found, slopes = take(parts.datapoints(), 0), [], []
    for gain in (1.0, 0.01):
        hypernetwork, params = made(encoder='table', head_gain=gain, initial_latent=0.5)
        latent = lambda heads: hypernetwork.encode({**params, 'heads': heads}, datapoint).code['latent']  # noqa: B023
        found.append(latent(params['heads']))
        slopes.append(jax.grad(lambda heads: latent(heads).sum())(params['heads']))  # noqa: B023
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(0.01 * one, other, rtol=1e-4, atol=1e-7), *slopes)


def test_fresh_modulations_have_the_spread_that_was_asked_for():
    hypernetwork, params = made(latent_dims=2000, map_spread=0.3, kind='film')
    weights = hypernetwork.decode(params, {'latent': jnp.asarray(np.random.default_rng(0).normal(size=2000))})
    factor = np.asarray(weights['layer_1']['w'] / params['base']['layer_1']['w'])[0]
    np.testing.assert_allclose(np.std(factor), 0.3, rtol=0.5)
    shift = weights['layer_1']['b'] - params['base']['layer_1']['b'] * factor
    unit = np.std(parts.INRS['siren']().init(jax.random.key(0), 2)['layer_1']['b'])
    np.testing.assert_allclose(np.std(shift), 0.3 * unit, rtol=0.5)


def test_an_inr_without_hidden_biases_is_refused():
    flat = Inr(lambda key, dims: {'layer_0': {'w': jnp.ones((dims, 3))}}, lambda w, x: x @ w['layer_0']['w'], {})
    with pytest.raises(ValueError, match='low_rank'):
        made(inr=flat)


@pytest.mark.parametrize(
    'change',
    [
        {'kind': 'scale'},
        {'latent_dims': 0},
        {'map_hidden': (0,)},
        {'map_spread': 0.0},
        {'matrix_spread': 0.0},
        {'initial_latent': 0.0},
        {'head_gain': 0.0},
    ],
)
def test_wrong_options_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        parts.make_hypernetwork(family='modulations', **change)
