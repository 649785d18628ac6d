"""The set encoder: a function of the set of weighted points and of nothing else."""

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from hyperinr import encoders
from hyperinr.types import Datapoint
from tests import tiny

SPEC = tiny.make_spec(grid_shape=(12,), channels=2)._replace(grid_shape=None)
ENCODER = encoders.set_encoder(spec=SPEC, embedding_dims=5, width=8, depth=1, num_frequencies=2)


def points(number, seed=0):
    rng = np.random.default_rng(seed)
    return Datapoint(
        coords=rng.uniform(-1, 1, (number, 1)).astype(np.float32),
        values=rng.uniform(0, 1, (number, 2)).astype(np.float32),
        weight=rng.uniform(0.5, 2, number).astype(np.float32),
        index=np.int32(0),
    )


PARAMS = ENCODER.init(jax.random.key(0), points(12))


def rows(datapoint, order):
    return datapoint._replace(**{name: getattr(datapoint, name)[order] for name in ('coords', 'values', 'weight')})


def embed(datapoint):
    return np.asarray(ENCODER.apply(PARAMS, datapoint))


@given(st.permutations(range(12)))
@settings(max_examples=10)
def test_the_order_of_the_points_does_not_matter(order):
    np.testing.assert_allclose(embed(rows(points(12), np.array(order))), embed(points(12)), atol=1e-6)


@pytest.mark.parametrize('number', [1, 5, 40])
def test_any_number_of_points(number):
    found = embed(points(number))
    assert found.shape == (5,)
    assert np.abs(found - embed(points(number, seed=1))).max() > 1e-4


def test_a_point_twice_at_half_the_weight_is_the_point_once():
    once = points(6)
    twice = rows(once, np.repeat(np.arange(6), 2))
    twice = twice._replace(weight=twice.weight / 2)
    np.testing.assert_allclose(embed(twice), embed(once), atol=1e-6)


def test_only_the_proportions_of_the_weights_matter():
    datapoint = points(6)
    np.testing.assert_allclose(embed(datapoint._replace(weight=7 * datapoint.weight)), embed(datapoint), atol=1e-6)
    other = datapoint._replace(weight=datapoint.weight[::-1].copy())
    assert np.abs(embed(other) - embed(datapoint)).max() > 1e-4


@pytest.mark.parametrize('content', [np.nan, np.inf, 1e30])
def test_points_without_weight_do_not_count_whatever_they_hold(content):
    whole = points(8)
    whole.weight[5:] = 0
    whole.values[5:] = content
    whole.coords[6] = content
    np.testing.assert_allclose(embed(whole), embed(rows(points(8), np.arange(5))), atol=1e-6)
    gradient = jax.grad(lambda params: ENCODER.apply(params, whole).sum())(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_no_points_at_all_are_an_embedding_too():
    empty = points(4)._replace(weight=np.zeros(4, np.float32))
    assert np.isfinite(embed(empty)).all()


def test_the_data_range_only_sets_the_units():
    encoder = encoders.set_encoder(
        spec=SPEC._replace(data_range=(-5.0, 250.0)), embedding_dims=5, width=8, depth=1, num_frequencies=2
    )
    datapoint = points(6)
    found = encoder.apply(PARAMS, datapoint._replace(values=255 * datapoint.values - 5))
    np.testing.assert_allclose(found, embed(datapoint), atol=1e-5)


def test_sizes_are_those_asked_for():
    encoder = encoders.set_encoder(spec=SPEC, embedding_dims=3, width=7, depth=2, num_frequencies=4)
    shapes = {
        name: layer['w'].shape for name, layer in jax.eval_shape(encoder.init, jax.random.key(0), points(2)).items()
    }
    inputs = 1 + 2 * 4 + 2  # coordinate, sines and cosines of four octaves, two channels
    assert list(shapes.values()) == [(inputs, 7), (7, 7), (7, 7), (7, 7), (7, 7), (7, 3)]


@pytest.mark.parametrize('change', [{'embedding_dims': 0}, {'width': 0}, {'depth': 0}, {'num_frequencies': -1}])
def test_wrong_sizes_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        encoders.set_encoder(spec=SPEC, **change)
