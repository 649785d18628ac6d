"""Instance pattern composers, weight tokens and chunks: what each leaves alone, and its formula."""

import jax
import numpy as np
import pytest

from hyperinr import weights as weights_lib
from tests import parts
from tests.exhaustive import thin

KEY = jax.random.key(0)


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def made(family, encoder='table', **options):
    hypernetwork = parts.make_hypernetwork(family=family, encoder=encoder, **options)
    params = jax.device_get(jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(), 0)))
    return hypernetwork, params, jax.device_get(jax.jit(hypernetwork.encode)(params, take(parts.datapoints(), 1)).code)


@pytest.mark.parametrize('layer', thin([0, 1, 2], lambda layer: layer == 1))
def test_one_layer_is_composed_and_all_others_are_shared(layer):
    hypernetwork, params, code = made('instance_pattern_composers', layer=layer)
    weights = hypernetwork.decode(params, code)
    shared = params['shared']
    for name, tensors in shared.items():
        for tensor, leaf in tensors.items():
            if (name, tensor) != (f'layer_{layer}', 'w'):
                np.testing.assert_array_equal(weights[name][tensor], leaf)
    pattern = np.asarray(params['pattern'], np.float64) + code['pattern']
    expected = pattern @ np.asarray(shared[f'layer_{layer}']['w'], np.float64)
    np.testing.assert_allclose(weights[f'layer_{layer}']['w'], expected, atol=1e-5)
    assert params['pattern'].shape[1] == min(4, *weights[f'layer_{layer}']['w'].shape)


def test_a_composed_layer_starts_from_its_learned_pattern():
    hypernetwork, params, _ = made('instance_pattern_composers', encoder='constant')
    code = hypernetwork.encode(params, take(parts.datapoints(), 0)).code
    np.testing.assert_array_equal(code['pattern'], np.zeros((16, 4)))
    expected = params['pattern'] @ params['shared']['layer_1']['w']
    np.testing.assert_allclose(hypernetwork.base(params)['layer_1']['w'], expected, rtol=1e-5)


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ValueError, match='layer=3; its layers are layer_0, layer_1, layer_2'):
        made('instance_pattern_composers', layer=3)


@pytest.mark.parametrize('groups', thin([1, 4, 5], lambda groups: groups == 4))
def test_columns_keep_their_length_and_their_group_has_one_stretch(groups):
    """Of 16 columns, 5 groups cannot have equal shares: 4 are made."""
    _, params, code = made('weight_tokens', groups=groups, initial_delta=0.5)
    base, found = (tree['layer_1']['w'].astype(np.float64) for tree in (params['base'], code))
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), np.linalg.norm(base, axis=0), rtol=1e-5)
    stretch = found / base
    directions = stretch / np.linalg.norm(stretch, axis=0)
    used = {1: 1, 4: 4, 5: 4}[groups]
    shares = directions.reshape(16, used, -1)
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :, :1], shares.shape), atol=1e-4)
    assert np.linalg.matrix_rank(shares[:, :, 0], tol=1e-3) == used
    for layer, tensors in params['base'].items():
        np.testing.assert_array_equal(code[layer]['b'], tensors['b'])


def test_an_embedding_that_makes_no_tokens_is_refused():
    with pytest.raises(ValueError, match='token_dims must divide the embedding: token_dims=3 and 8'):
        made('weight_tokens', token_dims=3)


@pytest.mark.parametrize('family', ['weight_tokens', 'chunked'])
def test_with_a_constant_encoder_all_there_is_is_the_base(family):
    _, params, code = made(family, encoder='constant')
    jax.tree.map(np.testing.assert_array_equal, code, params['base'])
    assert not jax.tree.leaves({part: tree for part, tree in params.items() if part not in ('base', 'rates')})


@pytest.mark.exhaustive
def test_chunks_are_made_alike_and_told_apart_by_their_embedding():
    """With the same embedding two chunks are the same; the flat weights are the chunks in a row, the rest cut off."""
    hypernetwork, params, code = made('chunked', chunk_size=50)
    spec = weights_lib.spec_of(params['base'])
    difference = jax.tree.map(lambda a, b: a - b, code, params['base'])
    fresh = parts.INRS['siren']().init(jax.random.key(0), 2)
    unit = lambda leaf: np.full(leaf.shape, np.std(leaf) or leaf.size**-0.5)
    units = weights_lib.flatten(jax.tree.map(unit, fresh), spec)
    assert weights_lib.count(spec) % 50
    chunks = params['generator']['~']['chunks']
    assert chunks.shape == (-(-weights_lib.count(spec) // 50), 4)
    same = {**params['generator'], '~': {'chunks': np.broadcast_to(chunks[:1], chunks.shape)}}
    again = jax.jit(hypernetwork.encode)({**params, 'generator': same}, take(parts.datapoints(), 1)).code
    relative = lambda code: np.asarray(
        weights_lib.flatten(jax.tree.map(lambda a, b: a - b, code, params['base']), spec)
    )
    first = (relative(again) / units)[:300].reshape(-1, 50)
    np.testing.assert_allclose(first, np.broadcast_to(first[:1], first.shape), atol=2e-3)
    other = (np.asarray(weights_lib.flatten(difference, spec)) / units)[:300].reshape(-1, 50)
    np.testing.assert_allclose(other[0], first[0], atol=2e-3)
    assert np.abs(other[1] - other[0]).max() > 0.05


@pytest.mark.parametrize(
    ('family', 'change'),
    [
        ('instance_pattern_composers', {'rank': 0}),
        ('instance_pattern_composers', {'layer': -1}),
        ('weight_tokens', {'width': 0}),
        ('weight_tokens', {'num_heads': 3}),
        ('weight_tokens', {'initial_delta': 0.0}),
        ('chunked', {'hidden': ()}),
        ('chunked', {'chunk_size': 0}),
    ],
)
def test_wrong_options_are_named(family, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        parts.make_hypernetwork(family=family, **change)
