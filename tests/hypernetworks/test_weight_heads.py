"""One head per weight tensor: what is emitted at step 0, and what every option does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import hypernetworks, inrs
from tests import parts
from tests.exhaustive import thin
from tests.statistics import siren_layers

SIREN = inrs.siren(channels=3, width=64, depth=4)
KEY = jax.random.key(0)


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


@functools.cache
def emitted(combine, encoder, initial_delta):
    """A fresh hypernetwork's base, and what it gives to four datapoints, leaves ``[4, ...]``."""
    hypernetwork = parts.make_hypernetwork(
        inr=SIREN, combine=combine, encoder=encoder, initial_delta=initial_delta, trunk=(32,)
    )
    batch = parts.datapoints()
    params = jax.jit(hypernetwork.init)(KEY, take(batch, 0))
    return params['base'], jax.jit(jax.vmap(hypernetwork.encode, (None, 0)))(params, batch).code


@pytest.mark.parametrize(
    'encoder', thin(['convolutional', 'set_encoder', 'constant'], lambda name: name == 'set_encoder')
)
@pytest.mark.parametrize('combine', thin(['additive', 'multiplicative'], lambda combine: combine == 'additive'))
def test_at_step_0_every_datapoint_gets_a_siren_with_the_statistics_of_a_fresh_one(combine, encoder):
    """Deltas of a tenth raise a standard deviation by half a per cent; a draw of a SIREN of this size varies by 5.

    64 units of random phase have a mean activation within sqrt(1/2/64) = 0.09 of zero, once per standard deviation.
    """
    draws = [jax.jit(SIREN.init, static_argnums=1)(key, 2) for key in jax.random.split(KEY, 6)]
    fresh = np.mean([siren_layers(weights, SIREN.metadata) for weights in draws], axis=0)
    _, weights = emitted(combine, encoder, 0.1)
    for row in range(4):
        found = np.array(siren_layers(take(weights, row), SIREN.metadata))
        np.testing.assert_allclose(found[:, 0], fresh[:, 0], rtol=0.15)
        np.testing.assert_allclose(found[:, 1], 0, atol=0.27)
        np.testing.assert_allclose(found[:, 2], 0.5, rtol=0.08)


def last_activations(kind, weights):
    """Activations of the last hidden layer at 400 points, by an output layer that reads them off."""
    inr = parts.INRS[kind]()
    last = f'layer_{inr.metadata.get("depth", 0)}'
    size = weights[last]['w'].shape[0]
    zeros = {name: jnp.zeros((size,) * jnp.ndim(leaf)) for name, leaf in weights[last].items()}
    reader = zeros | {'w': jnp.eye(size)}
    coords = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    return np.asarray(inr.apply({**weights, last: reader}, coords), np.float64)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ('kind', 'combine'),
    thin(
        [
            *[(kind, 'multiplicative') for kind in inrs.FAMILIES if kind not in ('siren', 'feature_grid')],
            ('finer', 'additive'),
        ],
        lambda row: row[0] == 'wire',
    ),
)
def test_at_step_0_every_family_keeps_its_activation_statistics(kind, combine):
    """Mean and spread over units and points of what four datapoints get, against eight fresh INRs.

    Deltas of a tenth move a statistic by less than fresh INRs differ among themselves: the bound is four standard
    deviations of these, and a tenth.
    """

    def statistics(weights):
        values = last_activations(kind, weights)
        return np.array([values.mean(), values.std()])

    inr = parts.INRS[kind]()
    init = jax.jit(inr.init, static_argnums=1)
    fresh = np.array([statistics(init(key, 2)) for key in jax.random.split(jax.random.key(5), 8)])
    batch = parts.datapoints()
    hypernetwork = parts.make_hypernetwork(inr=inr, combine=combine, trunk=())
    params = jax.jit(hypernetwork.init)(KEY, take(batch, 0))
    emitted = jax.jit(jax.vmap(hypernetwork.encode, (None, 0)))(params, batch).code
    found = np.array([statistics(take(emitted, row)) for row in range(4)])
    allowed = 4 * fresh.std(axis=0) + 0.1 * np.abs(fresh.mean(axis=0))
    assert (np.abs(found - fresh.mean(axis=0)) < allowed).all(), (found, fresh)
    assert np.ptp(found, axis=0).min() > 0


@pytest.mark.parametrize('combine', ['additive', 'multiplicative'])
def test_at_step_0_every_tensor_has_the_spread_of_a_fresh_one(combine):
    """The output layer's deltas are in units of an output of an image's contrast, 1/4, and not of a fresh SIREN's."""
    fresh = SIREN.init(jax.random.key(1), 2)
    _, weights = emitted(combine, 'set_encoder', 0.1)
    for layer, tensors in fresh.items():
        extra = 0.1 * (8 * 64) ** -0.5 if (combine, layer) == ('additive', 'layer_4') else 0
        for row in range(4):
            expected = np.hypot(np.std(tensors['w']), extra)
            np.testing.assert_allclose(np.std(weights[layer]['w'][row]), expected, rtol=0.15)
            spread = np.std(np.asarray(tensors['b']))
            assert abs(np.std(weights[layer]['b'][row]) - spread) < max(0.3 * spread, 0.1)


@pytest.mark.parametrize('initial_delta', [0.1, 0.4])
@pytest.mark.parametrize('combine', ['additive', 'multiplicative'])
def test_fresh_deltas_have_the_spread_that_was_asked_for(combine, initial_delta):
    """In units of the tensor's spread in a fresh INR, or of each weight; the datapoints' deltas differ."""
    base, weights = emitted(combine, 'set_encoder', initial_delta)
    for layer in ('layer_1', 'layer_2', 'layer_3'):
        change = np.asarray(weights[layer]['w'] - base[layer]['w'][None])
        unit = np.std(base[layer]['w']) if combine == 'additive' else np.asarray(base[layer]['w'])[None]
        np.testing.assert_allclose(np.std(change / unit), initial_delta, rtol=0.05)
        assert np.std(change, axis=0).max() > 0


@pytest.mark.parametrize('combine', ['additive', 'multiplicative'])
def test_base_and_delta_combine_as_their_formula_says(combine):
    """Doubling the base moves the weights by the base, or doubles them."""
    hypernetwork = parts.make_hypernetwork(combine=combine)
    datapoint = take(parts.datapoints(), 0)
    params = jax.jit(hypernetwork.init)(KEY, datapoint)
    doubled = {**params, 'base': jax.tree.map(lambda leaf: 2 * leaf, params['base'])}
    encode = jax.jit(hypernetwork.encode)
    before, after = (encode(each, datapoint).code for each in (params, doubled))
    expected = jax.tree.map(jnp.add, before, params['base'] if combine == 'additive' else before)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), after, expected)
    silent = {**params, 'heads': jax.tree.map(jnp.zeros_like, params['heads'])}
    jax.tree.map(np.testing.assert_array_equal, encode(silent, datapoint).code, params['base'])


@pytest.mark.parametrize('head_gain', thin([1.0, 5.0], lambda gain: gain == 5.0))
@pytest.mark.exhaustive
def test_a_gain_speeds_the_heads_up_without_a_change_at_step_0(head_gain):
    plain, fast = (parts.make_hypernetwork(combine='multiplicative', head_gain=gain) for gain in (1.0, head_gain))
    datapoint = take(parts.datapoints(), 0)
    params = jax.jit(plain.init)(KEY, datapoint)
    slow_heads = jax.tree.map(lambda leaf: leaf / head_gain, params['heads'])
    heads = jax.jit(fast.init)(KEY, datapoint)['heads']
    for name in heads:
        if name.startswith('head_'):
            np.testing.assert_allclose(heads[name]['w'], slow_heads[name]['w'], rtol=1e-5)
    start = jax.jit(fast.encode)({**params, 'heads': heads}, datapoint).code
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), start, plain.encode(params, datapoint).code
    )
    shifted = {
        name: {**layer, 'b': layer['b'] + 0.1} if name.startswith('head_') else layer for name, layer in heads.items()
    }
    moved = jax.jit(fast.encode)({**params, 'heads': shifted}, datapoint).code
    change = jax.tree.map(lambda a, b, base: (a - b) - head_gain * 0.1 * base, moved, start, params['base'])
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(change)) < 1e-5


def test_a_gain_for_each_layer_moves_that_layer_alone():
    gains = (1.0, 3.0, 0.5)
    datapoint = take(parts.datapoints(), 0)
    hypernetwork = parts.make_hypernetwork(combine='multiplicative', head_gain=gains)
    params = jax.jit(hypernetwork.init)(KEY, datapoint)
    heads = {
        name: {**layer, 'b': layer['b'] + 0.1} if name.startswith('head_') else layer
        for name, layer in params['heads'].items()
    }
    start, moved = (jax.jit(hypernetwork.encode)(one, datapoint).code for one in (params, {**params, 'heads': heads}))
    for layer, gain in zip(('layer_0', 'layer_1', 'layer_2'), gains, strict=True):
        for name, base in params['base'][layer].items():
            np.testing.assert_allclose(moved[layer][name] - start[layer][name], gain * 0.1 * base, atol=1e-5)


@pytest.mark.parametrize('head_gain', [0.0, (1.0, -1.0, 1.0), (1.0, 2.0)])
def test_a_gain_out_of_range_or_of_too_few_layers_is_refused(head_gain):
    with pytest.raises(ValueError, match='head_gain'):
        hypernetwork = parts.make_hypernetwork(head_gain=head_gain)
        hypernetwork.init(KEY, take(parts.datapoints(), 0))


def test_the_base_is_an_inr_of_its_own_and_decode_leaves_the_code_alone():
    hypernetwork = parts.make_hypernetwork()
    datapoint = take(parts.datapoints(), 0)
    init = jax.jit(hypernetwork.init)
    params = init(KEY, datapoint)
    assert hypernetwork.base(params) is params['base']
    other = init(jax.random.key(1), datapoint)
    assert not np.allclose(params['base']['layer_1']['w'], other['base']['layer_1']['w'])
    code = jax.jit(hypernetwork.encode)(params, datapoint).code
    jax.tree.map(np.testing.assert_array_equal, hypernetwork.decode(params, code), code)


def test_with_a_constant_encoder_all_there_is_is_the_base():
    hypernetwork = parts.make_hypernetwork(encoder='constant')
    params = hypernetwork.init(KEY, take(parts.datapoints(), 0))
    assert not jax.tree.leaves((params['heads'], params['encoder']))
    for row in range(2):
        code = hypernetwork.encode(params, take(parts.datapoints(), row)).code
        jax.tree.map(np.testing.assert_array_equal, code, params['base'])


@pytest.mark.parametrize('trunk', [(), (8,), (6, 7)])
def test_the_trunk_has_the_widths_that_were_asked_for(trunk):
    hypernetwork = parts.make_hypernetwork(trunk=trunk)
    heads = jax.eval_shape(hypernetwork.init, KEY, take(parts.datapoints(), 0))['heads']
    assert tuple(heads[f'trunk_{layer}']['w'].shape[1] for layer in range(len(trunk))) == trunk
    assert {layer['w'].shape[0] for name, layer in heads.items() if name.startswith('head')} == {[8, *trunk][-1]}


@pytest.mark.parametrize(
    'change',
    [
        {'combine': 'multiply'},
        {'rates': 'layer'},
        {'rates': hypernetworks.learned_rates},
        {'initial_delta': -0.1},
        {'trunk': (8, -1)},
    ],
)
def test_wrong_options_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        jax.eval_shape(parts.make_hypernetwork(**change).init, KEY, take(parts.datapoints(), 0))
