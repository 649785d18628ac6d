"""Weight pytree <-> flat vector."""

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from hyperinr import weights as weights_lib


def make_weights(sizes, lead=(), seed=0):
    rng = np.random.default_rng(seed)
    return {
        f'layer_{layer}': {
            'w': rng.normal(size=(*lead, fan_in, fan_out)).astype(np.float32),
            'b': rng.normal(size=(*lead, fan_out)).astype(np.float32),
        }
        for layer, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
    }


@settings(max_examples=10)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=12), st.lists(st.integers(0, 3), max_size=2), st.integers(0, 99)
)
def test_round_trip_is_exact_with_any_batch_axes(sizes, lead, seed):
    spec = weights_lib.spec_of(make_weights(sizes))
    weights = make_weights(sizes, tuple(lead), seed)
    flat = weights_lib.flatten(weights, spec)
    assert flat.shape == (*lead, weights_lib.count(spec))
    back = weights_lib.unflatten(flat, spec)
    assert sorted(back) == sorted(weights)
    for layer, tensors in weights.items():
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(back[layer][name], tensor)


def test_the_vector_is_the_tensors_in_the_order_of_the_specification():
    weights = {
        'layer_1': {'w': np.full((2, 1), 3.0), 'b': np.full(1, 2.0)},
        'layer_0': {'w': np.array([[10.0, 11.0]]), 'b': np.full(2, 0.0)},
    }
    spec = weights_lib.spec_of(weights)
    assert spec.paths == ('layer_0/b', 'layer_0/w', 'layer_1/b', 'layer_1/w')
    assert spec.shapes == ((2,), (1, 2), (1,), (2, 1))
    assert spec.sizes == (2, 2, 1, 2)
    np.testing.assert_array_equal(weights_lib.flatten(weights, spec), [0, 0, 10, 11, 2, 3, 3])


def test_layer_10_comes_after_layer_9_however_the_mapping_was_built():
    weights = make_weights([1] * 13)
    expected = [f'layer_{layer}/{name}' for layer in range(12) for name in ('b', 'w')]
    for order in (sorted(weights), list(reversed(weights))):
        rebuilt = {layer: dict(reversed(weights[layer].items())) for layer in order}
        assert list(weights_lib.spec_of(rebuilt).paths) == expected


def without(weights, layer, name):
    return {**weights, layer: {key: leaf for key, leaf in weights[layer].items() if key != name}}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda weights: without(weights, 'layer_1', 'b'),
            'layer_0/w, layer_1/w; their specification says',
        ),
        (lambda weights: {'layer_0': weights['layer_0']}, 'the weights are layer_0/b, layer_0/w; their specification'),
        (lambda weights: {**weights, 'layer_2': {'w': jnp.zeros((1, 1))}}, 'layer_1/w, layer_2/w; their specification'),
        (lambda weights: make_weights([2, 4, 3]), r"'layer_0/b' has shape \(4,\)"),
        (
            lambda weights: {**weights, 'layer_0': {'w': jnp.zeros(6), 'b': jnp.zeros(3)}},
            r"'layer_0/w' has shape \(6,\)",
        ),
    ],
)
def test_weights_of_another_specification_are_refused(change, message):
    weights = make_weights([2, 3, 3])
    with pytest.raises(ValueError, match=message):
        weights_lib.flatten(change(weights), weights_lib.spec_of(weights))


@pytest.mark.parametrize('size', [0, 20, 22])
def test_a_vector_of_another_length_is_refused(size):
    spec = weights_lib.spec_of(make_weights([2, 3, 3]))
    assert weights_lib.count(spec) == 21
    with pytest.raises(ValueError, match=rf'a vector \({size},\) of weights does not fit a specification of 21'):
        weights_lib.unflatten(jnp.zeros(size), spec)
