"""Choosing datapoints of a split."""

import numpy as np
import pytest

from hyperinr.datasets.base import Dataset, select
from hyperinr.errors import InputError
from tests import tiny


def make_dataset(num_datapoints):
    spec = tiny.make_spec()
    return Dataset(spec, {name: tiny.Waves(spec, num_datapoints) for name in ('train', 'test')})


def test_select_spreads_over_the_split():
    chosen, positions = select(make_dataset(10), 'train', 4)
    assert positions == [0, 3, 6, 9]
    np.testing.assert_array_equal(chosen.index, positions)
    assert select(make_dataset(10), 'train', 100)[1] == list(range(10))


def test_datapoints_outside_training_say_so():
    seen, unseen = (select(make_dataset(10), split, 4)[0] for split in ('train', 'test'))
    np.testing.assert_array_equal(unseen.index, [0, 3, 6, 9])
    np.testing.assert_array_equal(seen.row, [0, 3, 6, 9])
    assert unseen.row is None


@pytest.mark.parametrize(
    ('split', 'size', 'number', 'message'),
    [
        ('test', 0, 3, "num_datapoints is 3 and the split 'test' holds 0"),
        ('test', 2, 0, "num_datapoints is 0 and the split 'test' holds 2"),
        ('tset', 2, 1, "no split 'tset'; it has train, test"),
    ],
)
def test_select_needs_a_split_and_a_datapoint(split, size, number, message):
    with pytest.raises(InputError, match=message):
        select(make_dataset(size), split, number)
