"""The first stage, on real pictures with one mistake each."""

import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.checking import layout
from hyperinr.checking.data import check_data, read_splits
from hyperinr.checking.difficulty import difficulty, few
from hyperinr.checking.findings import Stage
from hyperinr.checking.picture import ABOVE, BELOW, CELL, GAP, HIDDEN, NOT_FINITE, picture_of
from hyperinr.checking.variety import check_variety
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec
from tests.checking.mutations import Faulty, faulty_images
from tests.tiny import make_spec


def checked(dataset):
    """The first stage of this dataset."""
    stage = Stage(1, 'the data')
    check_variety(check_data(dataset, read_splits(dataset), stage), stage)
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
        ('half hidden', [], ['data.unseen_points']),
        ('one label', [], ['data.one_label']),
    ],
)
def test_each_fault_is_named_and_nothing_else(fault, problems, notes):
    assert codes(faulty_images(fault=fault)) == (problems, notes)


def test_the_map_to_a_symmetric_range_done_twice():
    assert codes(faulty_images(fault='scaled to [-1, 1] twice', data_range=(-1, 1))) == (['data.scaled_twice'], [])


@pytest.mark.parametrize(
    ('changes', 'problems', 'notes'),
    [
        ({'copies': 24}, ['data.identical'], []),
        ({'copies': 2}, [], ['data.repeated']),
        ({'leak': True}, ['data.leak'], []),
        ({'data_range': (-1, 1)}, [], ['data.little_range']),
        ({'grid': False}, [], []),
        ({'grid': False, 'fault': 'counted pixels'}, ['data.outside'], []),
        ({'fault': 'not scaled', 'data_range': (0, 255)}, [], []),
    ],
)
def test_each_fault_of_the_whole_is_named_and_nothing_else(changes, problems, notes):
    assert codes(faulty_images(**changes)) == (problems, notes)


def test_a_single_copy_in_both_splits_is_a_note_and_both_are_named():
    dataset = faulty_images()
    train, validation = dataset.splits['train'], dataset.splits['validation']

    class Leaking(Faulty):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            return train[7] if index == 3 else validation[int(index) % 8]

        def names(self, index):
            return f'number {index}'

    found = checked(dataset._replace(splits={**dataset.splits, 'validation': Leaking(validation, None)}))
    (finding,) = found.findings
    assert (finding.code, finding.is_problem) == ('data.leak', False)
    assert "datapoint 3 of 'validation'" in finding.message
    assert "is datapoint 7 of 'train'" in finding.message


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
    assert [finding.code for finding in found.findings] == ['data.unseen_points']
    assert found.findings[0].numbers['num_hidden'] == 9
    assert found.numbers['largest'] <= 1


@pytest.mark.parametrize('shape', [(5, 7), (6, 6), (9,), (3, 4, 5)])
def test_right_coordinates_are_right_and_every_exchange_of_axes_is_found(shape):
    coords, spec = coordinates.grid(shape), make_spec(grid_shape=shape)
    assert layout.check_coordinates(coords, spec, 'it') is None
    for turned in ([1, 0], [2, 1, 0], [1, 0, 2]):
        if len(turned) == len(shape):
            assert layout.check_coordinates(coords[:, turned], spec, 'it').code == 'data.transposed_grid'
    assert layout.check_coordinates(-coords, spec, 'it').code == 'data.wrong_grid'
    assert layout.check_coordinates(coords / 2, spec, 'it').numbers['largest_difference'] == pytest.approx(
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


@pytest.mark.parametrize(
    ('shape', 'axes', 'code'),
    [
        ((6, 8, 10, 1), (2, 0, 1, 3), 'data.transposed_grid/values'),
        ((6, 8, 10, 2), (3, 0, 1, 2), 'data.channel_order'),
        ((60, 2), (1, 0), 'data.channel_order'),
    ],
)
def test_another_order_of_the_axes_of_a_volume_or_a_sound_is_named(shape, axes, code):
    coords = coordinates.grid(shape[:-1])
    phases = np.random.default_rng(0).uniform(0, 6, (5, 1, shape[-1]))
    slopes = np.arange(2, 2 + len(shape) - 1)
    smooth = np.sin(phases + (coords @ slopes)[:, None] + np.arange(shape[-1])).reshape(5, *shape)
    stated = smooth.reshape(5, -1, shape[-1])
    assert layout.check_values(stated, shape[:-1]) is None
    turned = smooth.transpose(0, *(1 + axis for axis in axes)).reshape(stated.shape)
    found = layout.check_values(turned, shape[:-1])
    assert code in (found.code, f'{found.code}/values')
    assert found.numbers['shape'] == tuple(shape[axis] for axis in axes)


def test_a_cubic_is_easy_whatever_its_spread_and_weight_0_hides_the_rest():
    coords = coordinates.grid((8, 9))
    slope = coords[:, :1] ** 3 - 5 * coords[:, 1:] * coords[:, :1]
    whole = Datapoint(coords, slope, np.ones(72, np.float32), np.int32(0))
    assert difficulty(whole) < 1e-6
    checks = np.float32(np.indices((8, 9)).sum(axis=0) % 2).reshape(-1, 1)
    assert difficulty(whole._replace(values=checks)) == pytest.approx(0.5, rel=0.05)
    spoilt, weight = slope.copy(), whole.weight.copy()
    spoilt[:5], weight[:5] = np.nan, 0
    assert difficulty(whole._replace(values=spoilt, weight=weight)) < 1e-6
    assert difficulty(whole._replace(coords=coords[:3], values=checks[:3], weight=weight[5:8])) > 0.4


def test_the_few_datapoints_are_three_of_middle_difficulty_and_a_hard_one():
    dataset = faulty_images(fault='NaN pixel')
    seen = read_splits(dataset)['train']
    chosen = few(seen, dataset.spec)
    ranks = sorted((difficulty(each.datapoint), each.position) for each in seen if each.position != 5)
    assert [each.position for each in chosen] == [ranks[rank][1] for rank in (11, 20, 9, 13)]
    assert [each.position for each in few(seen[:1], dataset.spec)] == [0]
    with pytest.raises(InputError, match=r'no training datapoint .* is sound'):
        few(seen[5:6], dataset.spec)


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


@pytest.mark.parametrize(('grid', 'drawn'), [((3,), (1, 3)), ((2, 3, 4), (3, 13))])
def test_a_grid_of_other_axes_is_arranged_in_the_upper_row(grid, drawn):
    count = int(np.prod(grid))
    spec = DatasetSpec('any', grid, count, len(grid), 1, (0.0, 1.0))
    values = np.full((count, 1), 0.2)
    values[0] = np.nan
    picture = picture_of([Datapoint(coordinates.grid(grid), values, np.ones(count), np.int32(0))], spec)
    scale = CELL // max(drawn)
    upper = picture[GAP : GAP + scale * drawn[0] : scale, GAP : GAP + scale * drawn[1] : scale]
    assert {tuple(map(int, colour)) for colour in upper.reshape(-1, 3)} <= {NOT_FINITE, (51, 51, 51), (255, 255, 255)}
    assert (upper == 51).all(axis=-1).sum() >= min(count, 12) - 1
    assert len(picture) == scale * drawn[0] + 128 + 4 * GAP


def test_scattered_points_are_drawn_where_they_lie():
    coords = np.array([[-0.99, -0.99, 0.0], [0.99, -0.99, 0.0], [-0.99, 0.99, 0.9]])
    spec = DatasetSpec('three', None, 3, 3, 1, (0.0, 1.0))
    picture = picture_of([Datapoint(coords, np.zeros((3, 1)), np.ones(3), np.int32(0))], spec)
    inside = picture[GAP:-GAP, GAP:-GAP]
    assert (inside[[0, -1], [0, 0]] == 0).all()
    assert (inside[0, -1] == 255).all()
