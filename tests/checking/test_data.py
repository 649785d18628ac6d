"""The first stage, on real pictures with one mistake each."""

import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.checking import layout
from hyperinr.checking.data import check_data, read_splits, typical
from hyperinr.checking.findings import Stage
from hyperinr.checking.picture import ABOVE, BELOW, CELL, GAP, HIDDEN, NOT_FINITE, picture_of
from hyperinr.datasets.base import Dataset
from hyperinr.types import Datapoint, DatasetSpec
from tests.checking.mutations import Faulty, faulty_images


def checked(dataset):
    """The first stage of this dataset."""
    stage = Stage(1, 'the data')
    check_data(dataset, read_splits(dataset), stage)
    return stage


def codes(dataset):
    """Codes of the problems, and of the notes."""
    findings = checked(dataset).findings
    return tuple([finding.code for finding in findings if finding.is_problem is kind] for kind in (True, False))


@pytest.mark.parametrize(
    ('fault', 'problems', 'notes'),
    [
        ('none', [], []),
        ('scaled twice', ['data.scaled_twice'], []),
        ('not scaled', ['data.not_scaled'], []),
        ('overshoot', ['data.out_of_range'], []),
        ('little range', [], ['data.little_range']),
        ('constant', ['data.constant'], []),
        ('some constant', [], ['data.constant']),
        ('grey', [], ['data.equal_channels']),
        ('one channel', ['data.wrong_channels'], []),
        ('channels first', ['data.channel_order'], []),
        ('columns first', ['data.transposed_grid'], []),
        ('transposed grid', ['data.transposed_grid'], []),
        ('corners', ['data.wrong_grid'], []),
        ('NaN pixel', ['data.not_finite'], []),
        ('empty mask', ['data.empty_mask'], []),
        ('negative weight', ['data.wrong_weight'], []),
        ('points missing', ['data.wrong_shape'], []),
    ],
)
def test_each_fault_is_named_and_nothing_else(fault, problems, notes):
    assert codes(faulty_images(fault=fault)) == (problems, notes)


def test_the_map_to_a_symmetric_range_done_twice():
    assert codes(faulty_images(fault='scaled to [-1, 1] twice', data_range=(-1, 1))) == (['data.scaled_twice'], [])


def test_pictures_that_are_all_the_same():
    assert codes(faulty_images(repeats=True)) == (['data.identical'], [])


def test_an_empty_split():
    dataset = faulty_images()
    none = Faulty([], lambda datapoint: datapoint)
    found = checked(dataset._replace(splits={**dataset.splits, 'validation': none}))
    assert [finding.code for finding in found.findings] == ['data.empty']
    assert "'validation'" in found.findings[0].message


def test_a_message_names_the_datapoint_the_pixel_and_how_many():
    (finding,) = checked(faulty_images(fault='NaN pixel')).findings
    assert "datapoint 5 of 'train' (train noise 5)" in finding.message
    assert 'pixel (0, 7)' in finding.message
    assert finding.numbers['point'] == 7
    # The fault is in the validation split too, at the same position.
    assert finding.numbers['num_datapoints'] == 2


def test_what_a_masked_point_holds_is_out_of_nobodys_range():
    dataset = faulty_images()

    def hide(datapoint):
        values, weight = datapoint.values.copy(), datapoint.weight.copy()
        values[:9], weight[:9] = 7.0, 0.0
        return datapoint._replace(values=values, weight=weight)

    found = checked(Dataset(dataset.spec, {name: Faulty(each, hide) for name, each in dataset.splits.items()}))
    assert not found.findings
    assert found.numbers['largest'] <= 1


@pytest.mark.parametrize('shape', [(5, 7), (6, 6), (9,), (3, 4, 5)])
def test_right_coordinates_are_right_and_every_exchange_of_axes_is_found(shape):
    coords = coordinates.grid(shape)
    assert layout.check_coordinates(coords, shape, 'it') is None
    for turned in ([1, 0], [2, 1, 0], [1, 0, 2]):
        if len(turned) == len(shape):
            assert layout.check_coordinates(coords[:, turned], shape, 'it').code == 'data.transposed_grid'
    assert layout.check_coordinates(-coords, shape, 'it').code == 'data.wrong_grid'
    assert layout.check_coordinates(coords / 2, shape, 'it').numbers['largest_difference'] == pytest.approx(
        np.abs(coords).max() / 2
    )


def test_roughness_is_one_for_noise_and_the_slope_of_a_ramp():
    noise = np.random.default_rng(0).uniform(size=(4, 40, 50, 3))
    np.testing.assert_allclose(layout.roughness(noise), 1, atol=0.05)
    # Neighbours along the ramp differ by 1, across it by 0; two of n random rows differ by (n^2 - 1) / 3 n on average.
    rows = 30
    ramp = np.broadcast_to(np.arange(rows)[None, :, None, None], (1, rows, rows, 1))
    np.testing.assert_allclose(layout.roughness(ramp), 0.5 / ((rows**2 - 1) / (3 * rows)), rtol=0.1)
    assert np.isnan(layout.roughness(np.ones((1, 4, 4, 1)))).all()


@pytest.mark.parametrize('channels', [1, 3])
def test_noise_and_stripes_are_no_wrong_order(channels):
    rng = np.random.default_rng(0)
    noise = rng.uniform(size=(32, 10 * 14, channels))
    assert layout.check_values(noise, (10, 14)) is None
    grey_rows = np.broadcast_to(rng.uniform(size=(32, 10, 1, 1)), (32, 10, 14, channels)).reshape(32, -1, channels)
    assert layout.check_values(grey_rows, (10, 14)) is None


def test_the_typical_datapoint_has_the_median_spread():
    dataset = faulty_images()
    seen = read_splits(dataset)['train']
    spreads = sorted(float(each.datapoint.values.std()) for each in seen)
    assert float(typical(seen).datapoint.values.std()) == spreads[len(spreads) // 2]


def test_the_picture_shows_values_by_row_and_by_coordinate():
    grid = (2, 3)
    values = np.array([[0.0], [0.2], [0.4], [0.6], [0.8], [1.0]])
    spec = DatasetSpec('six', grid, 6, 2, 1, (0.0, 1.0))
    whole = Datapoint(coordinates.grid(grid), values, np.ones(6), np.int32(0))
    turned = whole._replace(coords=-whole.coords)
    marked = whole._replace(
        values=np.array([[np.nan], [-1], [2], [0.6], [0.8], [1]]), weight=np.array([1, 1, 1, 0, 1, 1.0])
    )
    picture = picture_of([whole, turned, marked], spec)
    side = CELL // 3

    def pixel(column, row, i, j):
        left = column * (3 * side + 2 * GAP) + GAP + j * side + side // 2
        top = row * (2 * side + 2 * GAP) + GAP + i * side + side // 2
        return tuple(int(level) for level in picture[top, left])

    for i, j in np.ndindex(grid):
        level = round(255 * 0.2 * (3 * i + j))
        assert pixel(0, 0, i, j) == pixel(0, 1, i, j) == pixel(1, 0, i, j) == (level,) * 3
        assert pixel(1, 1, 1 - i, 2 - j) == (level,) * 3
    assert [pixel(2, 0, 0, j) for j in range(3)] == [NOT_FINITE, BELOW, ABOVE]
    assert pixel(2, 0, 1, 0) == HIDDEN


def test_scattered_points_are_drawn_where_they_lie():
    coords = np.array([[-0.99, -0.99, 0.0], [0.99, -0.99, 0.0], [-0.99, 0.99, 0.9]])
    spec = DatasetSpec('three', None, 3, 3, 1, (0.0, 1.0))
    picture = picture_of([Datapoint(coords, np.zeros((3, 1)), np.ones(3), np.int32(0))], spec)
    inside = picture[GAP:-GAP, GAP:-GAP]
    assert (inside[[0, -1], [0, 0]] == 0).all()
    assert (inside[0, -1] == 255).all()
