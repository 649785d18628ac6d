"""Fields: any order of latitudes and longitudes becomes one, no seam, and the same file comes back."""

import sys

import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.errors import InputError
from hyperinr.kinds import field
from hyperinr.kinds.field import FIELD
from hyperinr.kinds.globe import Globe

xarray = pytest.importorskip('xarray')
h5py = pytest.importorskip('h5py')
NORTH, EAST = np.linspace(90, -90, 7), np.arange(12) * 30.0
ORDERS = {
    'as it is read': (NORTH, EAST),
    'south first': (NORTH[::-1], EAST),
    'from the date line': (NORTH, EAST - 180),
    'from 20 east to beyond 360': (NORTH, EAST + 120),
    'west of 0 eastward': (NORTH[::-1], np.mod(EAST + 150, 360) - 180),
    'westward': (NORTH, EAST[::-1]),
    '0 and 360': (NORTH, np.append(EAST, 360.0)),
}


def smooth(north, east):
    """A smooth function of the point on the sphere."""
    x, y, z = np.moveaxis(coordinates.on_sphere(*np.meshgrid(north, east, indexing='ij')), -1, 0)
    return 280 + 20 * z - 5 * x * y + 3 * y


def save(path, north=NORTH, east=EAST, *, dims=(), names=('lat', 'lon'), engine='scipy', **more):
    axes = dict(zip(names, (north, east), strict=True))
    values = smooth(north, east) + 10 * np.arange(np.prod(list(dims)) if dims else 1).reshape(*dims, 1, 1)
    leading = ['time', 'level'][: len(dims)]
    arrays = {'t': ([*leading, *names], values if dims else values[...], {'units': 'K', 'long_name': 'temperature'})}
    coords = {name: ([name], place) for name, place in axes.items()}
    if dims:
        coords['time'] = (['time'], 6.0 * np.arange(dims[0]), {'units': 'hours since 1900-01-01', 'calendar': 'noleap'})
    data = xarray.Dataset({**arrays, **more}, coords)
    data.to_netcdf(path, engine=engine)
    return path


@pytest.mark.parametrize('order', ORDERS)
def test_any_order_is_read_as_one_and_written_as_it_was(order, tmp_path):
    path = save(tmp_path / 'a.nc', *ORDERS[order])
    found = FIELD.read(path)
    low, high = found.metadata['file_range']
    np.testing.assert_allclose(low + found.values[..., 0] * (high - low), smooth(NORTH, EAST), atol=1e-4)
    assert found.coords is None
    assert found.layout == 'sphere'
    FIELD.write(tmp_path / 'b.nc', found.values, {**found.metadata, 'data_range': found.data_range})
    with (
        xarray.open_dataset(path, decode_times=False) as before,
        xarray.open_dataset(tmp_path / 'b.nc', decode_times=False) as after,
    ):
        xarray.testing.assert_allclose(after, before)
        assert after['t'].attrs == {'units': 'K', 'long_name': 'temperature'}
        assert after['t'].dtype == before['t'].dtype


def test_neighbours_across_the_date_line_and_at_the_poles_are_neighbours(tmp_path):
    coords = FIELD.read(save(tmp_path / 'a.nc')).datapoint().coords.reshape(7, 12, 3)
    apart = np.linalg.norm(coords - np.roll(coords, -1, axis=1), axis=-1)
    np.testing.assert_allclose(apart, np.broadcast_to(apart[:, :1], apart.shape), atol=1e-6)
    np.testing.assert_allclose(coords[0], [[0, 0, 1]] * 12, atol=1e-6)
    np.testing.assert_allclose(coords[-1], [[0, 0, -1]] * 12, atol=1e-6)


@pytest.mark.parametrize(
    ('north', 'east', 'first'),
    [
        ([60.0, 50, 40], [-20.0, -10, 0, 10], (60, -20)),  # a region, from its west
        (np.linspace(87, -87, 6), EAST, (87, 0)),  # without poles
        (np.degrees(np.arcsin(np.polynomial.legendre.leggauss(6)[0])), EAST, (68.8, 0)),  # Gaussian
        (NORTH, EAST + 7, (90, 7)),
    ],
)
def test_other_grids_have_coordinates_of_their_own(north, east, first, tmp_path):
    found = FIELD.read(save(tmp_path / 'a.nc', np.array(north), np.array(east)))
    assert found.coords.shape == (len(north), len(east), 3)
    np.testing.assert_allclose(found.coords[0, 0], coordinates.on_sphere(*map(np.array, first)), atol=1e-3)
    x, y, z = np.moveaxis(found.coords, -1, 0)
    low, high = found.metadata['file_range']
    np.testing.assert_allclose(low + found.values[..., 0] * (high - low), 280 + 20 * z - 5 * x * y + 3 * y, atol=1e-4)
    FIELD.write(tmp_path / 'b.nc', found.values, {**found.metadata, 'data_range': found.data_range})
    again = FIELD.read(tmp_path / 'b.nc')
    np.testing.assert_array_equal(again.coords, found.coords)
    finer = found.values.repeat(2, axis=0).repeat(2, axis=1)
    FIELD.write(tmp_path / 'c.nc', finer, {**found.metadata, 'data_range': found.data_range})
    assert FIELD.read(tmp_path / 'c.nc').values.shape == finer.shape


def test_axes_are_told_by_units_and_masked_points_have_weight_0(tmp_path):
    data = smooth(NORTH, EAST)
    data[2, 3] = np.nan
    coords = {'Y': (['Y'], NORTH, {'units': 'degrees_north'}), 'X': (['X'], EAST, {'units': 'degrees_east'})}
    made = xarray.Dataset({'sst': (['Y', 'X'], data), 'depth': (['X'], EAST)}, coords)
    packed = {'dtype': 'int16', 'scale_factor': 0.01, 'add_offset': 280, '_FillValue': -999}
    made.to_netcdf(tmp_path / 'a.nc', engine='scipy', encoding={'sst': packed})
    found = FIELD.read(tmp_path / 'a.nc')
    assert found.values.shape == (7, 12, 1)
    assert found.weight[2, 3] == 0
    assert found.weight.sum() == 7 * 12 - 1
    FIELD.write(tmp_path / 'b.nc', found.values, {**found.metadata, 'data_range': found.data_range})
    with xarray.open_dataset(tmp_path / 'b.nc', mask_and_scale=False) as after:
        assert after['sst'].dtype == np.int16
        assert after['sst'].attrs['scale_factor'] == 0.01
        expected = np.rint((np.where(np.isnan(data), data[~np.isnan(data)].min(), data) - 280) * 100)
        np.testing.assert_allclose(after['sst'].values, expected, atol=1)


def test_frames_are_counted_and_read_one_or_all(tmp_path):
    path = save(tmp_path / 'a.nc', dims=(4, 2))
    assert field.num_frames(path) == 4
    all_frames = field.read_frames(path, data_range=(200.0, 400.0))
    assert all_frames.values.shape == (4, 7, 12, 1)
    one = field.read_field(path, frame=2, data_range=(200.0, 400.0))
    np.testing.assert_array_equal(all_frames.values[2], one.values)
    np.testing.assert_allclose(200 + 200 * one.values[..., 0], smooth(NORTH, EAST) + 40, atol=1e-3)
    assert 'time 2' in one.notes
    assert 'the first of 2 along level' in one.notes
    assert all_frames.metadata['leading'][0]['values'] == [0, 6, 12, 18]
    assert 'the first of 4 along time' in FIELD.read(path).notes
    FIELD.write(tmp_path / 'b.nc', one.values, {**one.metadata, 'data_range': one.data_range})
    with xarray.open_dataset(tmp_path / 'b.nc', decode_times=False) as after:
        assert after['t'].dims == ('time', 'level', 'lat', 'lon')
        assert after['time'].values.tolist() == [12]
        assert after['time'].attrs == {'units': 'hours since 1900-01-01', 'calendar': 'noleap'}
    with pytest.raises(InputError, match='has frames 0 to 3, not 4'):
        field.read_field(path, frame=4)


def test_variables_of_one_unit_share_a_range(tmp_path):
    wind = {
        name: (['lat', 'lon'], scale * smooth(NORTH, EAST), {'units': 'm/s'}) for name, scale in (('u', 1), ('v', 2))
    }
    path = save(tmp_path / 'a.nc', **wind)
    found = FIELD.read(path)
    assert 'variables: t, u, v' in found.notes
    temperature, first, second = found.metadata['file_range']
    assert first == second != temperature
    lowest, highest = smooth(NORTH, EAST).min(), smooth(NORTH, EAST).max()
    np.testing.assert_allclose([*temperature, *first], [lowest, highest, lowest, 2 * highest], rtol=1e-6)
    chosen = field.read_field(path, variables=['v', 't'])
    np.testing.assert_array_equal(chosen.values[..., 1], found.values[..., 0])
    for options, said in (
        ({'variables': ['w']}, "no variable 'w' .* there are t, u, v"),
        ({'channels': 2}, 'has 3 var'),
    ):
        with pytest.raises(InputError, match=said):
            field.read_field(path, **options)


def test_hdf5_is_read_and_takes_nothing_from_other_files(tmp_path):
    pytest.importorskip('h5netcdf')
    path = save(tmp_path / 'a.nc', engine='h5netcdf')
    np.testing.assert_array_equal(FIELD.read(path).values, FIELD.read(save(tmp_path / 'b.nc')).values)
    (tmp_path / 'secret').write_bytes(bytes(8 * 7 * 12))
    for case in ('link', 'raw', 'virtual'):
        victim = save(tmp_path / f'{case}.nc', engine='h5netcdf')
        with h5py.File(victim, 'a') as opened:
            del opened['t']
            if case == 'link':
                opened['t'] = h5py.ExternalLink(str(path), 't')
            elif case == 'raw':
                opened.create_dataset('t', (7, 12), 'f8', external=[(str(tmp_path / 'secret'), 0, 8 * 7 * 12)])
            else:
                layout = h5py.VirtualLayout((7, 12), 'f8')
                layout[...] = h5py.VirtualSource(str(path), 't', (7, 12))
                opened.create_virtual_dataset('t', layout)
        with pytest.raises(InputError, match="keeps 't' in another file"):
            FIELD.read(victim)


def test_what_is_no_field_is_said(tmp_path, monkeypatch):
    flat = xarray.Dataset({'t': (['x'], EAST)})
    flat.to_netcdf(tmp_path / 'a.nc', engine='scipy')
    with pytest.raises(InputError, match='no variable on an axis of latitude'):
        FIELD.read(tmp_path / 'a.nc')
    with pytest.raises(InputError, match='beyond 90 degrees'):
        FIELD.read(save(tmp_path / 'b.nc', north=NORTH * 2))
    (tmp_path / 'a.grib').write_bytes(b'GRIB' + bytes(100))
    monkeypatch.setitem(sys.modules, 'cfgrib', None)
    with pytest.raises(InputError, match=r'needs cfgrib; install hyperinr\[grib\]'):
        FIELD.read(tmp_path / 'a.grib')
    monkeypatch.setattr('hyperinr.files.limits.MOST_PIXELS', 83)
    with pytest.raises(InputError, match='84 values, more than the 83'):
        FIELD.read(save(tmp_path / 'c.nc'))


def test_a_globe_knows_whether_it_is_whole():
    assert Globe(NORTH, EAST).is_whole()
    assert Globe(NORTH.astype(np.float32), (EAST - 180).astype(np.float32)).is_whole()
    for north, east in ((NORTH[1:], EAST), (NORTH, EAST[1:]), (NORTH, EAST + 15), (NORTH + 0.1, EAST), ([0.0], [0.0])):
        assert not Globe(np.asarray(north), np.asarray(east)).is_whole()


def test_small_numbers_fill_the_range(tmp_path):
    """Fractions lie within [0, 1] as they are, and are mapped all the same: humidity would else be one grey."""
    made = xarray.Dataset({'q': (['lat', 'lon'], 1e-4 * smooth(NORTH, EAST))}, {'lat': NORTH, 'lon': EAST})
    made.to_netcdf(tmp_path / 'a.nc', engine='scipy')
    found = FIELD.read(tmp_path / 'a.nc')
    assert (found.values.min(), found.values.max()) == (0, 1)
