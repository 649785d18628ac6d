"""Values of files as values of signals and back, for every type and range."""

from pathlib import Path

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.kinds.values import as_type, file_values, mapped, resampled

PATH = Path('a.npy')


@pytest.mark.parametrize('ends', [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize(
    ('array', 'file_range'),
    [
        (np.array([[0.25], [0.5]]), None),
        (np.array([[-3.0], [5.0]]), (-3, 5)),
        (np.array([[7], [7]]), (0, 7)),
        (np.array([[-2.0], [-2.0]]), (-2, 1)),
        (np.array([[3], [250]], np.uint8), (0, 255)),
        (np.array([[-(2**31)], [2**31 - 1]], np.int32), (-(2**31), 2**31 - 1)),
        (np.array([[1e30], [2e30]]), (1e30, 2e30)),
        (np.array([[0.5], [2.0]], np.float16), (0.5, 2)),
    ],
)
def test_values_are_mapped_and_come_back(array, file_range, ends):
    found = mapped(array, None, PATH, ends=ends, by_type=True)
    assert found.file_range == (file_range or ends)
    low, high = found.file_range
    expected = ends[0] + (array.astype(float) - low) / (high - low) * (ends[1] - ends[0])
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-7)
    assert found.values.dtype == np.float32
    assert found.weight is None
    metadata = {'data_range': ends, 'file_range': list(found.file_range)}
    np.testing.assert_allclose(file_values(found.values, metadata), array, rtol=1e-6, atol=1e-7 * (high - low))


def test_points_with_a_value_that_is_not_finite_have_weight_0():
    found = mapped(np.array([[0.1, np.nan], [0.2, 5.0], [np.inf, 1.0]]), None, PATH)
    assert found.weight.tolist() == [0, 1, 0]
    assert found.file_range == (0.1, 5)
    assert np.isfinite(found.values).all()
    assert '2 points without a finite value get weight 0' in found.notes


def test_a_range_for_each_channel_comes_back():
    ranges = [[0, 10], [-5, 5]]
    metadata = {'data_range': (0.0, 1.0), 'file_range': ranges}
    np.testing.assert_allclose(file_values(np.array([[0.5, 0.5], [1, 2]]), metadata), [[5, 0], [10, 5]])
    for wrong in ([ranges], ranges[:1], [0, np.inf], 'all'):
        with pytest.raises(ValueError):
            file_values(np.zeros((2, 2)), {**metadata, 'file_range': wrong})


@pytest.mark.parametrize('kind', ['uint8', 'int16', 'int64', 'uint64'])
def test_whole_numbers_are_the_nearest_that_the_type_holds(kind):
    bounds = np.iinfo(kind)
    found = as_type(np.array([-1e30, 1.4, 2.6, 1e30]), kind)
    assert found.tolist()[:3] == [bounds.min, 1, 3]
    assert bounds.max * 0.999 < found[3] <= bounds.max


def test_ranges_beyond_float32_and_other_things_than_numbers_are_refused():
    for array, said in (
        (np.array([[1e300]]), 'LOW,HIGH'),
        (np.array([['a']]), 'no real numbers'),
        (np.zeros((0, 1)), 'holds no values'),
    ):
        with pytest.raises(InputError, match=said):
            mapped(array, None, PATH)


def test_resampling_keeps_ramps_and_means():
    ramp = np.arange(12.0)[:, None]
    np.testing.assert_allclose(resampled(ramp, (24,), PATH)[1:-1, 0], (np.arange(24) + 0.5)[1:-1] / 2 - 0.5)
    np.testing.assert_allclose(resampled(ramp, (4,), PATH)[1:-1, 0], [4, 7], atol=1e-6)
    noise = np.random.default_rng(0).normal(size=(400, 1))
    assert resampled(noise, (40,), PATH).std() < 0.5 * noise.std()
