import numpy as np
import pytest

from hyperinr.datasets import blobs, continuous_function, waves
from hyperinr.errors import InputError

COUNTS = {'num_train': 3, 'num_validation': 2, 'num_test': 2}


def plane(rng, coord_dims, channels):
    """Affine in the coordinates, so its values anywhere have a closed form."""
    slopes = rng.uniform(-0.2, 0.2, (coord_dims, channels))
    return lambda coords: 0.5 + coords @ slopes


@pytest.mark.parametrize('sampling', ['grid', 'uniform'])
def test_values_are_the_function_at_the_coordinates(sampling):
    source = continuous_function(function=plane, resolution=(6, 9), sampling=sampling, **COUNTS).splits['train']
    datapoint = source.sample(1, 4)
    np.testing.assert_allclose(datapoint.values, source.evaluate(1, datapoint.coords), atol=1e-6)
    corners = source.evaluate(1, np.array([[-1, -1], [1, 1], [0, 0]]))
    np.testing.assert_allclose((corners[0] + corners[1]) / 2, corners[2], atol=1e-6)
    fitted, *_ = np.linalg.lstsq(np.c_[datapoint.coords, np.ones(54)], datapoint.values, rcond=None)
    np.testing.assert_allclose(fitted[2], 0.5, atol=1e-5)
    np.testing.assert_allclose(fitted.sum(axis=0), corners[1], atol=1e-5)


def test_points_anywhere_are_new_in_each_epoch_and_fill_the_square():
    dataset = continuous_function(sampling='uniform', num_points=500, **COUNTS)
    assert dataset.spec.grid_shape is None
    source = dataset.splits['train']
    a, b = source.sample(0, 0).coords, source.sample(0, 1).coords
    assert not np.intersect1d(a, b).size
    assert not np.array_equal(a, source[0].coords)
    assert np.abs(np.mean(a, axis=0)).max() < 0.1
    np.testing.assert_allclose(np.var(a, axis=0), 1 / 3, atol=0.05)


def test_functions_differ_between_positions_splits_and_seeds_and_are_reproducible():
    first, again = (continuous_function(resolution=(5,), **COUNTS) for _ in range(2))
    values = [first.splits[s][i].values for s in ('train', 'validation', 'test') for i in range(2)]
    values += [continuous_function(resolution=(5,), seed=1, **COUNTS).splits['train'][0].values]
    assert len({v.tobytes() for v in values}) == 7
    np.testing.assert_array_equal(first.splits['test'][1].values, again.splits['test'][1].values)


@pytest.mark.parametrize('function', [waves, blobs])
@pytest.mark.parametrize('coord_dims', [1, 2, 3])
def test_families_stay_in_range_and_vary(function, coord_dims):
    rng = np.random.default_rng(0)
    coords = rng.uniform(-1, 1, (400, coord_dims))
    for _ in range(10):
        values = function(rng, coord_dims, 2)(coords)
        assert values.shape == (400, 2)
        assert values.min() >= 0
        assert values.max() <= 1
        assert values.std() > 0.01


def test_waves_stay_below_their_highest_frequency():
    x = np.linspace(-1, 1, 512, endpoint=False)[:, None]
    field = waves(np.random.default_rng(0), 1, 1, num_waves=40, max_cycles=5.0)
    spectrum = np.abs(np.fft.rfft((field(x)[:, 0] - 0.5) * np.hanning(512))) ** 2
    assert spectrum[9:].sum() < 1e-3 * spectrum.sum()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ({'sampling': 'random'}, "'grid' or 'uniform'"),
        ({'num_points': 7}, 'num_points'),
        ({'resolution': ()}, 'resolution'),
        ({'num_test': 0}, 'num_test'),
        ({'function': lambda rng, d, c: lambda x: np.full((len(x), c), np.nan)}, 'NaN'),
        ({'function': lambda rng, d, c: lambda x: np.full((len(x), c), 2.0)}, 'from 2 to 2; scale it'),
        ({'function': lambda rng, d, c: lambda x: np.zeros(len(x))}, 'channels'),
    ],
)
def test_wrong_arguments(arguments, said):
    with pytest.raises(InputError, match=said):
        continuous_function(**{**COUNTS, **arguments})
