"""Fields of a file, one for each time."""

import numpy as np
import pytest

from hyperinr import coordinates, datasets
from hyperinr.errors import InputError

LATITUDES, LONGITUDES = np.linspace(90, -90, 7), np.arange(12) * 30.0


def fields(count=20):
    """Winds that say which time they are of, in m/s: a wave around the sphere, one number higher each time."""
    wave = np.cos(np.radians(LATITUDES))[:, None] * np.sin(np.radians(LONGITUDES))
    return np.arange(count)[:, None, None] + wave


def write(path, values=None, latitudes=LATITUDES, **more):
    values = fields() if values is None else values
    import xarray

    axes = {'time': np.arange(len(values)), 'lat': latitudes, 'lon': LONGITUDES}
    units = {'lat': 'degrees_north', 'lon': 'degrees_east'}
    coords = {name: (name, axis, {'units': units.get(name, 'days')}) for name, axis in axes.items()}
    arrays = {
        'u': (tuple(axes), values, {'units': 'm/s'}),
        **{n: (tuple(axes), v, {'units': u}) for n, (v, u) in more.items()},
    }
    xarray.Dataset(arrays, coords).to_netcdf(path, engine='scipy')
    return path


def make(folder, path, **options):
    return datasets.field_frames(path=str(path), data_dir=str(folder / 'cache'), **options)


def test_the_splits_are_stretches_of_time_and_values_are_in_one_range(tmp_path):
    dataset = make(tmp_path, write(tmp_path / 'winds.nc'))
    spec = dataset.spec
    assert [len(dataset.splits[split]) for split in ('train', 'validation', 'test')] == [14, 2, 4]
    assert (spec.kind, spec.layout, spec.grid_shape, spec.coord_dims) == ('field', 'sphere', (7, 12), 3)
    assert spec.source_range == (fields().min(), fields().max())
    test = dataset.splits['test']
    assert test.names(0) == 'field 16'
    low, high = spec.source_range
    np.testing.assert_allclose(low + (high - low) * test.image(3)[..., 0], fields()[19], atol=1e-5)
    np.testing.assert_array_equal(test[0].coords, coordinates.grid((7, 12), 'sphere'))


def test_training_fields_are_turned_in_each_epoch(tmp_path):
    path = write(tmp_path / 'winds.nc')
    train = make(tmp_path, path).splits['train']
    image = lambda datapoint: datapoint.values.reshape(7, 12)
    turned = [image(train.sample(3, epoch)) for epoch in range(6)]
    shifts = {int(np.argmax(each[3])) for each in turned}
    assert len(shifts) > 2
    for each in turned:
        np.testing.assert_array_equal(np.roll(each, 3 - np.argmax(each[3]), axis=1), image(train[3]))
    still = make(tmp_path, path, augment=False).splits['train']
    np.testing.assert_array_equal(image(still.sample(3, 5)), image(still[3]))


def test_land_has_weight_0_and_another_grid_gives_scattered_points(tmp_path):
    values = fields()
    values[:, 2, 3] = np.nan
    dataset = make(tmp_path, write(tmp_path / 'sea.nc', values))
    datapoint = dataset.splits['validation'][0]
    assert datapoint.weight.reshape(7, 12)[2, 3] == 0
    assert datapoint.weight.sum() == 7 * 12 - 1
    part = make(tmp_path, write(tmp_path / 'part.nc', latitudes=np.linspace(60, 30, 7)))
    assert part.spec.grid_shape is None
    expected = coordinates.on_sphere(*np.meshgrid(np.linspace(60, 30, 7), LONGITUDES, indexing='ij')).reshape(-1, 3)
    np.testing.assert_allclose(part.splits['test'][0].coords, expected, atol=1e-6)


def test_wrong_files_and_fractions_are_said(tmp_path):
    path = write(tmp_path / 'winds.nc', t=(fields() + 280, 'K'))
    assert make(tmp_path, path, variables=('t',)).spec.source_range[0] > 200
    for options, part in (
        ({}, 'several units'),
        ({'variables': ('w',)}, "'w'"),
        ({'path': ''}, 'field_frames.path'),
        ({'validation_fraction': 0.0}, 'above 0'),
        ({'path': str(write(tmp_path / 'few.nc', fields(2)))}, '2 fields'),
    ):
        with pytest.raises(InputError, match=part):
            datasets.field_frames(**{'path': str(path), 'data_dir': str(tmp_path), **options})
