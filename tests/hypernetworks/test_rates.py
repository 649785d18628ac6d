"""Step sizes: which numbers share one, and what the datapoint has to say in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.hypernetworks import learned_rates, only_leaves, predicted_rates

KEY = jax.random.key(0)
CODE = {'factor': jnp.ones((3, 2)), 'shift': jnp.ones(4)}
EMBEDDING = jnp.array([0.5, -1.0, 2.0])


@pytest.mark.parametrize('make', [learned_rates, predicted_rates])
@pytest.mark.parametrize('num_steps', [1, 3])
@pytest.mark.parametrize('shared_by', ['code', 'leaf', 'nothing'])
def test_every_share_starts_at_the_initial_rate(make, num_steps, shared_by):
    rates = make(shared_by=shared_by, num_steps=num_steps, initial=0.03)
    found = rates.apply(rates.init(KEY, CODE, EMBEDDING), CODE, EMBEDDING)
    own = (3, 2) if shared_by == 'nothing' else (1, 1)
    assert found['factor'].shape == (num_steps, *own)
    assert found['shift'].shape == (num_steps, *((4,) if shared_by == 'nothing' else (1,)))
    for leaf in jax.tree.leaves(found):
        np.testing.assert_allclose(leaf, 0.03, rtol=1e-6)


@pytest.mark.parametrize(('shared_by', 'numbers'), [('code', 2), ('leaf', 4), ('nothing', 20)])
def test_a_share_is_one_parameter_for_each_step(shared_by, numbers):
    params = learned_rates(shared_by=shared_by, num_steps=2).init(KEY, CODE, EMBEDDING)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == numbers
    params = predicted_rates(shared_by=shared_by, predicted_by=shared_by, num_steps=2).init(KEY, CODE, EMBEDDING)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 4 * numbers


def test_the_whole_code_moves_with_its_one_parameter():
    rates = learned_rates(shared_by='code', num_steps=2, initial=0.1, gain=4.0)
    found = rates.apply(jnp.array([0.0, -0.5]), CODE, EMBEDDING)
    for leaf in jax.tree.leaves(found):
        np.testing.assert_allclose(leaf.reshape(2), [0.1, 0.1 * np.exp(-2)], rtol=1e-6)


@pytest.mark.parametrize('predicted_by', ['code', 'leaf', 'nothing'])
def test_predicted_rates_are_the_constant_ones_times_the_exponential_of_the_prediction(predicted_by):
    rates = predicted_rates(predicted_by=predicted_by, num_steps=2, initial=0.1, gain=4.0, prediction_gain=0.7)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), rates.init(KEY, CODE, EMBEDDING)
    )
    found = rates.apply(params, CODE, EMBEDDING)
    weights = np.asarray(params['predicted'] if predicted_by == 'code' else params['predicted']['factor'], np.float64)
    assert weights.size == 3 * 2 * (6 if predicted_by == 'nothing' else 1)
    predicted = sum(float(e) * weights[row] for row, e in enumerate(EMBEDDING)).reshape(2, *weights.shape[2:] or (1, 1))
    expected = 0.1 * np.exp(4 * np.asarray(params['constant']['factor']) + 0.7 * predicted)
    np.testing.assert_allclose(found['factor'], expected, rtol=1e-5)
    assert np.abs(found['factor'] - rates.apply(params, CODE, -EMBEDDING)['factor']).max() > 1e-3


@pytest.mark.parametrize(
    'change',
    [
        {'shared_by': 'layer'},
        {'num_steps': 0},
        {'initial': 0.0},
        {'gain': 0.0},
        {'prediction_gain': 0.0},
        {'predicted_by': 'layer'},
    ],
)
def test_wrong_options_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        predicted_rates(**change)
    if not {'prediction_gain', 'predicted_by'} & set(change):
        with pytest.raises(ValueError, match=next(iter(change))):
            learned_rates(**change)


def test_leaves_that_do_not_match_take_no_step_and_have_no_parameter():
    rates = only_leaves(rates=learned_rates(num_steps=2, initial=0.3), pattern='sh.*t')
    params = rates.init(KEY, CODE, EMBEDDING)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2 * 4
    found = rates.apply(params, CODE, EMBEDDING)
    np.testing.assert_array_equal(found['factor'], np.zeros((1, 1, 1)))
    np.testing.assert_allclose(found['shift'], np.full((2, 4), 0.3), rtol=1e-6)


@pytest.mark.parametrize(('pattern', 'said'), [('shif', 'they are factor, shift'), ('(', 'regular expression')])
def test_a_pattern_that_finds_nothing_is_named(pattern, said):
    with pytest.raises(ValueError, match=said):
        only_leaves(rates=learned_rates(), pattern=pattern).init(KEY, CODE, EMBEDDING)
