"""Embeddings that are looked up: by the datapoint's row, by its label."""

import jax
import numpy as np
import pytest

from hyperinr import encoders
from hyperinr.errors import InputError
from tests import parts

KEY = jax.random.key(0)
DATAPOINT = jax.tree.map(lambda leaf: leaf[0], parts.datapoints())


def test_a_datapoint_gets_its_row_and_one_without_a_row_the_mean_of_all():
    encoder = encoders.table(spec=parts.SPEC, embedding_dims=5)
    params = encoder.init(KEY, DATAPOINT)
    at = lambda row: encoder.apply(params, DATAPOINT._replace(row=row))
    for row in range(4):
        np.testing.assert_array_equal(at(np.int32(row)), params['rows'][row])
    for row in (None, np.int32(-1), np.int32(4), np.int32(1000)):
        np.testing.assert_allclose(at(row), np.mean(params['rows'], axis=0), rtol=1e-6)


def test_an_index_selects_no_row():
    """It says where a datapoint comes from: position 0 of a user's own data is not position 0 of the training data."""
    encoder = encoders.table(spec=parts.SPEC, embedding_dims=5)
    params = encoder.init(KEY, DATAPOINT)
    found = [encoder.apply(params, DATAPOINT._replace(index=np.int32(index), row=None)) for index in range(3)]
    np.testing.assert_array_equal(*found[:2])
    np.testing.assert_array_equal(*found[1:])


def test_every_label_has_its_vector_whatever_the_values():
    encoder = encoders.label_embedding(spec=parts.SPEC, embedding_dims=5)
    params = encoder.init(KEY, DATAPOINT)
    for label in range(3):
        for values in (DATAPOINT.values, 1 - DATAPOINT.values):
            found = encoder.apply(params, DATAPOINT._replace(values=values, label=np.int32(label)))
            np.testing.assert_array_equal(found, params['labels'][label])


def test_a_datapoint_without_a_label_is_refused():
    encoder = encoders.label_embedding(spec=parts.SPEC, embedding_dims=5)
    with pytest.raises(InputError, match=r'set Datapoint\.label'):
        encoder.apply(encoder.init(KEY, DATAPOINT), DATAPOINT._replace(label=None))


@pytest.mark.parametrize('initial_spread', [0.1, 2.0])
def test_fresh_rows_have_the_spread_that_was_asked_for(initial_spread):
    options = {'spec': parts.SPEC, 'embedding_dims': 500, 'initial_spread': initial_spread}
    for encoder in (encoders.table(**options), encoders.label_embedding(**options)):
        np.testing.assert_allclose(np.std(jax.tree.leaves(encoder.init(KEY, DATAPOINT))[0]), initial_spread, rtol=0.1)


def test_what_a_table_needs_to_know_is_asked_for_at_once():
    with pytest.raises(ValueError, match='num_datapoints'):
        encoders.table(spec=parts.SPEC._replace(num_datapoints=None))
    with pytest.raises(ValueError, match='has no labels'):
        encoders.label_embedding(spec=parts.SPEC._replace(num_labels=None))
    for factory in (encoders.table, encoders.label_embedding):
        with pytest.raises(ValueError, match='embedding_dims'):
            factory(spec=parts.SPEC, embedding_dims=0)
