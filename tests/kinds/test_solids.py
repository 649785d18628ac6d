"""Which data are solids, and where their insides are."""

import numpy as np
import pytest

from hyperinr import datasets
from hyperinr.kinds.solids import is_solid, level_of
from hyperinr.types import DatasetSpec


@pytest.mark.parametrize(('quantity', 'inside'), [('occupancy', [1, 0, 0]), ('signed_distance', [0, 0, 1])])
def test_inside_is_above_an_occupancy_and_below_a_distance(quantity, inside):
    spec = datasets.solids(num_train=1, num_validation=1, num_test=1, num_points=8, quantity=quantity).spec
    values = np.array([[0.9], [0.1], [-0.2]])
    for each in (spec, spec._replace(kind=None)):  # Older versions state no kind.
        assert is_solid(each)
        assert level_of(each).inside(values).tolist() == inside


def test_the_kind_decides_before_the_range_and_the_number_of_axes():
    centred = DatasetSpec('densities', (4, 4, 4), 64, 3, 1, (-1.0, 1.0))
    assert not is_solid(centred)
    assert not is_solid(centred._replace(grid_shape=None, kind='volume'))
    assert not is_solid(centred._replace(grid_shape=None, channels=2))
    assert is_solid(centred._replace(kind='occupancy'))
    assert level_of(centred._replace(kind='occupancy')) == (0.5, True)
