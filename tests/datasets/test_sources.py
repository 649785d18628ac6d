"""What holds for every dataset; a new one is a row in ``sources.FACTORIES``."""

import jax
import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.datasets import stack
from tests.datasets import sources


@pytest.fixture(scope='module', params=sources.FACTORIES, ids=lambda factory: factory.__name__)
def dataset(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp('dataset'))


def test_every_datapoint_is_as_the_specification_says(dataset):
    spec = dataset.spec
    low, high = spec.data_range
    assert sorted(dataset.splits) == ['test', 'train', 'validation']
    assert spec.num_datapoints == len(dataset.splits['train'])
    for source in dataset.splits.values():
        assert len(source) > 0
        assert (source.labels is None) == (spec.num_labels is None)
        if spec.num_labels is not None:
            assert source.labels.shape == (len(source),)
            assert 0 <= source.labels.min() <= source.labels.max() < spec.num_labels
        for index in range(len(source)):
            datapoint = source[index]
            assert datapoint.coords.shape == (spec.num_points, spec.coord_dims)
            assert datapoint.values.shape == (spec.num_points, spec.channels)
            assert datapoint.weight.shape == (spec.num_points,)
            assert {leaf.dtype for leaf in datapoint[:3]} == {np.dtype(np.float32)}
            assert datapoint.index == index
            assert source.labels is None or datapoint.label == source.labels[index]
            assert np.abs(datapoint.coords).max() <= 1
            assert low <= datapoint.values.min() <= datapoint.values.max() <= high
            assert datapoint.weight.min() >= 0
            assert datapoint.weight.sum() > 0


def test_a_grid_has_its_coordinates_and_gives_its_image(dataset):
    source = dataset.splits['test']
    if dataset.spec.grid_shape is None:
        with pytest.raises(ValueError, match='grid'):
            source.image(0)
        return
    np.testing.assert_array_equal(source[0].coords, coordinates.grid(dataset.spec.grid_shape, dataset.spec.layout))
    last = len(source) - 1
    assert source.image(last).shape == (*dataset.spec.grid_shape, dataset.spec.channels)
    np.testing.assert_array_equal(source.image(last).reshape(-1, dataset.spec.channels), source[last].values)


def test_a_batch_is_the_stack_of_its_datapoints(dataset):
    source = dataset.splits['train']
    indices = [4, 0, 4, 2]
    jax.tree.map(np.testing.assert_array_equal, source.batch(indices), stack([source[i] for i in indices]))
    jax.tree.map(np.testing.assert_array_equal, source.batch(indices, 7), stack([source.sample(i, 7) for i in indices]))
    epochs = np.array([7, 8, 9, 7])
    expected = stack([source.sample(i, int(e)) for i, e in zip(indices, epochs, strict=True)])
    np.testing.assert_array_equal(source.batch(indices, epochs).values, expected.values)


def test_only_training_data_vary_with_the_epoch_unless_points_are_drawn(dataset):
    source = dataset.splits['test']
    fixed = dataset.spec.grid_shape is not None or dataset.spec.name == 'arrays'
    assert np.array_equal(source.sample(0, 3).values, source[0].values) == fixed
    np.testing.assert_array_equal(source.sample(0, 3).values, source.sample(0, 3).values)


def test_positions_outside_are_an_error_and_names_are_of_one_datapoint(dataset):
    source = dataset.splits['train']
    for index in (len(source), -1):
        with pytest.raises(IndexError):
            source[index]
    assert len({source.names(i) for i in range(3)}) == 3


def test_stack_needs_datapoints():
    with pytest.raises(ValueError, match='no datapoints'):
        stack([])
