"""What the tests of `tests/parts.py`'s rows compare and change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.types import Datapoint
from tests import parts
from tests.exhaustive import thin

KEY = jax.random.key(0)


def rows(table, few=None):
    """Names of a table's rows; if ``few`` are given, `make test` runs only these."""
    return pytest.mark.parametrize('name', thin(table, lambda name: few is None or name in few))


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def shapes(tree):
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.asarray(leaf).dtype), tree)


def shapes_of_init(inr, coord_dims=2):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), jax.eval_shape(lambda: inr.init(KEY, coord_dims)))


def assert_close(found, expected, *, rtol=1e-4, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected)


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def all_finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def size(tree):
    return sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))


def moved(params):
    """Away from the zeros of an initialisation, which hide what is multiplied by them."""
    return jax.tree.map(lambda leaf: leaf + 0.01, params)


def unreached(gradient):
    """Parameters that a gradient does not reach."""
    return [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree.leaves_with_path(gradient)
        if leaf.size and size(leaf) == 0
    ]


def partly_hidden(datapoint: Datapoint) -> Datapoint:
    """With a point of weight 0, so that what an encoder knows of hidden points matters."""
    weight = datapoint.weight.copy()
    weight[5] = 0
    return datapoint._replace(weight=weight)


def with_other_row(batch: Datapoint, row: int) -> Datapoint:
    """The batch with another datapoint in one of its rows: other values, another index and label."""
    values, index, label = batch.values.copy(), batch.index.copy(), batch.label.copy()
    values[row], index[row], label[row] = 1 - values[row], 3 - index[row], 2 - batch.label[3 - row]
    return batch._replace(values=values, index=index, label=label, row=index)


def assert_rows_independent(function):
    """Another datapoint 1 changes result 1 and not a bit of the others."""
    before, after = (
        jax.device_get(function(each)) for each in (parts.datapoints(), with_other_row(parts.datapoints(), 1))
    )
    others = np.array([0, 2, 3])
    assert_equal(take(after, others), take(before, others))
    assert size(jax.tree.map(lambda a, b: a - b, take(after, 1), take(before, 1))) > 0
