"""Low-rank changes against their formulas in NumPy."""

import jax
import numpy as np
import pytest

from hyperinr import hypernetworks
from hyperinr.meta_learning import adaptation
from tests import parts
from tests.exhaustive import thin

KEY = jax.random.key(0)


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def made(**options):
    hypernetwork = parts.make_hypernetwork(family='low_rank', encoder='table', **options)
    params = jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(), 0))
    return hypernetwork, params, jax.jit(hypernetwork.encode)(params, take(parts.datapoints(), 1)).code


FORMULAS = {
    'multiplicative': lambda base, product: base * (1 + product),
    'sigmoid': lambda base, product: base * 2 / (1 + np.exp(-product)),
    'additive': lambda base, product: base + product,
}


@pytest.mark.parametrize('combine', thin(FORMULAS, lambda combine: combine == 'sigmoid'))
def test_weights_are_what_the_formula_says(combine):
    hypernetwork, params, code = made(combine=combine, initial_delta=0.7)
    found = hypernetwork.decode(params, code)
    for layer, tensors in params['base'].items():
        left, right = (np.asarray(code[layer]['w'][side], np.float64) for side in ('left', 'right'))
        expected = FORMULAS[combine](np.asarray(tensors['w'], np.float64), left @ right)
        np.testing.assert_allclose(found[layer]['w'], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[layer]['b'], tensors['b'] + code[layer]['b']['shift'], atol=1e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize('combine', thin(FORMULAS, lambda name: name == 'multiplicative'))
def test_without_a_change_it_is_the_base(combine):
    hypernetwork, params, code = made(combine=combine)
    found = hypernetwork.decode(params, jax.tree.map(np.zeros_like, code))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, hypernetwork.base(params))


@pytest.mark.exhaustive
@pytest.mark.parametrize('rank', thin([1, 3, 100], lambda rank: rank == 3))
def test_the_change_has_the_rank_that_was_asked_for(rank):
    hypernetwork, params, code = made(rank=rank, combine='additive', initial_delta=1.0)
    weights = hypernetwork.decode(params, code)
    for layer, expected in {'layer_0': min(rank, 2), 'layer_1': min(rank, 16), 'layer_2': min(rank, 3)}.items():
        change = np.asarray(weights[layer]['w'] - params['base'][layer]['w'], np.float64)
        assert np.linalg.matrix_rank(change, tol=1e-4 * np.linalg.norm(change, 2)) == expected


@pytest.mark.exhaustive
def test_a_learned_start_where_the_encoder_says_nothing():
    """Random factors: at zeros of both neither would ever move."""
    hypernetwork = parts.make_hypernetwork(family='low_rank', encoder='constant', initial_delta=0.2)
    datapoint = take(parts.datapoints(), 0)
    params = jax.jit(hypernetwork.init)(KEY, datapoint)
    code = hypernetwork.encode(params, datapoint).code
    change = np.asarray(code['layer_1']['w']['left'] @ code['layer_1']['w']['right'])
    np.testing.assert_allclose(np.std(change), 0.2, rtol=0.3)
    other = hypernetwork.encode(params, take(parts.datapoints(), 1)).code
    jax.tree.map(np.testing.assert_array_equal, code, other)


@pytest.mark.parametrize('change', [{'combine': 'add'}, {'rank': 0}, {'initial_delta': 0.0}])
def test_wrong_options_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        parts.make_hypernetwork(family='low_rank', **change)


@pytest.mark.exhaustive
@pytest.mark.parametrize('combine', thin(FORMULAS, lambda name: name == 'multiplicative'))
def test_a_step_of_the_factors_moves_weights_as_far_as_one_of_the_weights_would(combine):
    """In the column space of the left factor, of whatever size the weights are; never further."""
    rate = 1e-4
    hypernetwork = parts.make_hypernetwork(
        family='low_rank', combine=combine, rates=hypernetworks.learned_rates(initial=rate), rank=8
    )
    inr, datapoint = parts.INRS['siren'](), take(parts.datapoints(), 0)

    @jax.jit
    def stepped(params):
        start = hypernetwork.encode(params, datapoint)
        decode = lambda code: hypernetwork.decode(params, code)
        before = decode(start.code)
        gradient = jax.grad(lambda weights: adaptation.reconstruction_error(inr, weights, datapoint))(before)
        moved = adaptation.adapt(inr, decode, start, datapoint, num_steps=1)[-1]
        return before, decode(moved), gradient

    before, after, gradient = stepped(jax.jit(hypernetwork.init)(KEY, datapoint))
    for layer in ('layer_0', 'layer_1'):
        moved = np.linalg.norm(np.asarray(after[layer]['w'], np.float64) - before[layer]['w'])
        assert 0.1 < moved / (rate * np.linalg.norm(gradient[layer]['w'])) < 3
