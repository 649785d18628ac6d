"""Every hypernetwork at step 0: what it emits is a valid INR of its family, and its size is what its docstring says."""

import functools
import math

import jax
import numpy as np
import pytest

from hyperinr import hypernetworks, inrs
from tests import parts
from tests.exhaustive import thin
from tests.statistics import COORDS, siren_layers

SIREN = inrs.siren(channels=3, width=64, depth=3)
RELU_MLP = inrs.relu_mlp(channels=3, width=64, depth=3)
KEY = jax.random.key(0)
WIDTH, EMBEDDING, LATENT = 64, 8, 6

FAMILIES = {
    'low_rank multiplicative': {'family': 'low_rank'},
    'low_rank sigmoid': {'family': 'low_rank', 'combine': 'sigmoid'},
    'low_rank additive': {'family': 'low_rank', 'combine': 'additive'},
    'shifts': {'family': 'modulations', 'latent_dims': LATENT},
    'film': {'family': 'modulations', 'kind': 'film', 'latent_dims': LATENT},
    'latent matrix': {'family': 'modulations', 'latent_dims': LATENT, 'matrices': (1,)},
    'instance_pattern_composers': {'family': 'instance_pattern_composers', 'rank': 32},
    'weight_tokens': {'family': 'weight_tokens'},
    'private_layers': {'family': 'private_layers', 'num_private': 2},
    'chunked': {'family': 'chunked', 'chunk_size': 500},
}


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


@functools.cache
def fresh(name, inr):
    """Parameters, and the weights of four datapoints ``[4, ...]``, of a fresh hypernetwork on a table of embeddings."""
    inr = {'siren': SIREN, 'relu_mlp': RELU_MLP}[inr]
    hypernetwork = parts.make_hypernetwork(inr=inr, encoder='table', **FAMILIES[name])
    batch = parts.datapoints()

    @jax.jit
    def run(key):
        params = hypernetwork.init(key, take(batch, 0))
        weights = jax.vmap(lambda each: hypernetwork.decode(params, hypernetwork.encode(params, each).code))(batch)
        return params, hypernetwork.base(params), weights

    return jax.device_get(run(KEY))


@pytest.mark.exhaustive
@pytest.mark.parametrize('name', FAMILIES)
def test_every_datapoint_gets_a_siren_with_the_statistics_of_a_fresh_one(name):
    """Changes of a tenth raise a standard deviation by half a per cent; a draw of a SIREN of this size varies by 5.

    A low-rank layer has as many independent columns as its rank, and varies more.
    """
    draws = [jax.jit(SIREN.init, static_argnums=1)(key, 2) for key in jax.random.split(KEY, 6)]
    expected = np.mean([siren_layers(weights, SIREN.metadata) for weights in draws], axis=0)
    _, base, weights = fresh(name, 'siren')
    for tree in (base, *(take(weights, row) for row in range(4))):
        found = np.array(siren_layers(tree, SIREN.metadata))
        np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=0.2)
        np.testing.assert_allclose(found[:, 1], 0, atol=0.27)
        np.testing.assert_allclose(found[:, 2], 0.5, rtol=0.1)


def preactivations(weights):
    """Root mean square of the inputs of every ReLU, and of the output around its bias, in double precision."""
    angles = np.pi * COORDS[:, None, :].astype(np.float64) * 2.0 ** np.arange(6)[None, :, None]
    angles = angles.reshape(len(COORDS), -1)
    hidden, found = np.concatenate([COORDS, np.sin(angles), np.cos(angles)], axis=1), []
    for layer in range(4):
        w, b = (np.asarray(weights[f'layer_{layer}'][name], np.float64) for name in ('w', 'b'))
        linear = hidden @ w
        found.append(np.sqrt(np.mean(linear**2)))
        hidden = np.maximum(linear + b, 0)
    return np.array(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize('name', FAMILIES)
def test_every_datapoint_gets_a_relu_mlp_with_the_statistics_of_a_fresh_one(name):
    draws = [jax.jit(RELU_MLP.init, static_argnums=1)(key, 2) for key in jax.random.split(KEY, 6)]
    expected = np.mean([preactivations(weights) for weights in draws], axis=0)
    _, _, weights = fresh(name, 'relu_mlp')
    for row in range(4):
        np.testing.assert_allclose(preactivations(take(weights, row))[:3], expected[:3], rtol=0.35)


@pytest.mark.parametrize('name', thin(FAMILIES, lambda name: name == next(iter(FAMILIES))))
def test_datapoints_differ_by_a_tenth_of_a_weight(name):
    """``initial_delta`` of 0.1; modulated biases by ``map_spread``."""
    _, base, weights = fresh(name, 'siren')
    changes = []
    for layer in base:
        for tensor, leaf in base[layer].items():
            change = np.std(np.asarray(weights[layer][tensor]) - leaf) / np.std(leaf)
            if change > 0 and layer != 'layer_3':
                changes.append(change)
    assert changes
    assert 0.05 < np.median(changes) < 0.2


def heads(outputs, inputs):
    return (inputs + 1) * outputs


MATRICES = [(2, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 3)]
P = sum(rows * columns + columns for rows, columns in MATRICES)
TRUNK = 2 * EMBEDDING + heads(8, EMBEDDING)
"""One hidden layer of 8 after a normalisation with scale and offset."""


def low_rank_size():
    factors = sum(min(3, rows, columns) * (rows + columns) + columns for rows, columns in MATRICES)
    return TRUNK + heads(factors, 8)


def weight_tokens_size():
    tokens, width, depth, token_dims = 4 + 4 + 4 + 3, 8, 1, 2
    blocks = depth * (8 * width**2 + 11 * width)
    around = tokens * width + EMBEDDING // token_dims * width + (token_dims + 1) * width + 2 * width
    return blocks + around + sum(heads(rows, width) for rows, _ in MATRICES)


def chunked_size():
    chunks = math.ceil(P / 500)
    return chunks * 4 + EMBEDDING * 8 + 4 * 8 + 8 + heads(8, 8) + heads(500, 8)


SIZES = {
    'low_rank multiplicative': P + low_rank_size(),
    'low_rank sigmoid': P + low_rank_size(),
    'low_rank additive': P + low_rank_size(),
    'shifts': P + LATENT * 3 * WIDTH + heads(LATENT, EMBEDDING),
    'film': P + LATENT * 2 * 3 * WIDTH + heads(LATENT, EMBEDDING),
    'latent matrix': P + LATENT * (3 * WIDTH + WIDTH**2) + heads(LATENT, EMBEDDING),
    'instance_pattern_composers': P - WIDTH**2 + 32 * (WIDTH + WIDTH) + TRUNK + heads(32 * WIDTH, 8),
    'weight_tokens': P + weight_tokens_size(),
    'private_layers': P + heads(sum(rows * columns + columns for rows, columns in MATRICES[2:]), EMBEDDING),
    'chunked': P + chunked_size(),
}


@pytest.mark.parametrize('name', FAMILIES)
def test_the_number_of_parameters_is_the_documented_one(name):
    hypernetwork = parts.make_hypernetwork(inr=SIREN, encoder='table', **FAMILIES[name])
    params = jax.eval_shape(hypernetwork.init, KEY, take(parts.datapoints(), 0))
    base = jax.eval_shape(hypernetwork.base, params)
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert count(base) == P
    assert count({part: tree for part, tree in params.items() if part not in ('encoder', 'rates')}) == SIZES[name]


def test_every_family_is_in_the_table():
    factories = set(hypernetworks.__all__) - {
        'Rates',
        'learned_rates',
        'only_leaves',
        'predicted_rates',
        'weight_heads',
    }
    assert factories == {options['family'] for options in FAMILIES.values()}
    assert factories | {'weight_heads'} == set(parts.TINY)
