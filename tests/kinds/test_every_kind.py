"""What every kind of signal promises: there and back within the rounding of its format, and one line for a bad file."""

import json
import os

import numpy as np
import pytest

from hyperinr import coordinates, kinds
from hyperinr.errors import InputError
from hyperinr.runtime.outputs import check_outputs

SHAPES = {
    'array': (3, 4, 5, 2),
    'image': (12, 9, 3),
    'sound': (300, 2),
    'video': (4, 9, 7, 3),
    'volume': (5, 6, 7, 1),
    'field': (5, 8, 2),
    'occupancy': (12, 12, 12, 1),
    'signed_distance': (12, 12, 12, 1),
    'unsigned_distance': (12, 12, 12, 1),
}
"""Kind -> shape of a test signal, channels last."""
ROUNDING = {
    'array': 0.0,
    'image': 0.5 / 255,
    'sound': 0.5 / 2**16,
    'video': 0.5 / 255,
    'volume': 0.0,
    'field': 0.0,
}
"""Kind -> largest difference after writing and reading, as a fraction of the range; `test_shape` has that of meshes."""
RANGES = {**dict.fromkeys(SHAPES, (0.0, 1.0)), 'sound': (-1.0, 1.0), 'signed_distance': (-1.0, 1.0)}
NEEDS = {
    'sound': ('soundfile', 'soxr'),
    'video': ('av',),
    'volume': ('nibabel',),
    'field': ('xarray', 'h5netcdf', 'h5py'),
    **dict.fromkeys(('occupancy', 'signed_distance', 'unsigned_distance'), ('igl', 'trimesh', 'skimage')),
}
"""Kind -> optional modules that it needs."""
CELL = {'spacing': (2 / 12,) * 3}
OPTIONS = {'occupancy': CELL, 'signed_distance': CELL, 'unsigned_distance': CELL}
"""Kind -> options of the reader that keep a test small."""


def kind_of(name):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    return kinds.KINDS[name]


def signal_of(name):
    """Noise with both ends of the range in it (16 bits of sound hold no 1); for a shape, a ball."""
    low, high = RANGES[name]
    if name in ROUNDING:
        noise = np.random.default_rng(0).uniform(low, high, SHAPES[name]).astype(np.float32)
        noise[(0,) * noise.ndim], noise[(-1,) * noise.ndim] = low, high - (name == 'sound') / 2**15
        return noise
    distance = np.linalg.norm(coordinates.grid(SHAPES[name][:3]), axis=1).reshape(SHAPES[name]) - 0.6
    by_kind = {'occupancy': distance < 0, 'signed_distance': distance, 'unsigned_distance': np.abs(distance)}
    return by_kind[name].astype(np.float32)


def written(name, folder):
    """A file of the kind, the values in it, and its metadata."""
    kind, values = kind_of(name), signal_of(name)
    path, metadata = folder / f'signal{kind.written}', {'data_range': RANGES[name]}
    kind.write(path, values, metadata)
    return path, values


def read(name, path):
    return kinds.KINDS[name].read(path, **OPTIONS.get(name, {}))


def test_the_tables_name_every_kind():
    assert SHAPES.keys() == RANGES.keys() == kinds.KINDS.keys()
    assert ROUNDING.keys() | OPTIONS.keys() == kinds.KINDS.keys()


@pytest.mark.parametrize('name', ROUNDING)
def test_a_signal_comes_back_from_its_file(name, tmp_path):
    path, values = written(name, tmp_path)
    kind = kinds.KINDS[name]
    found = kind.read(path)
    low, high = found.data_range
    assert found.values.dtype == np.float32
    assert found.values.shape == values.shape
    assert found.data_range == RANGES[name]
    assert np.abs(found.values - values).max() <= 1.001 * ROUNDING[name] * (high - low)
    again = path.with_name(f'again{kind.written}')
    metadata = json.loads(json.dumps(found.metadata, allow_nan=False))
    kind.write(again, found.values, {**metadata, 'data_range': found.data_range})
    np.testing.assert_array_equal(kind.read(again).values, found.values)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_signal_is_a_datapoint_of_all_its_samples(name, tmp_path):
    path, values = written(name, tmp_path)
    kind, found = kinds.KINDS[name], read(name, path)
    datapoint = found.datapoint()
    assert kind.num_axes in (None, len(found.grid_shape))
    assert found.layout == kind.layout
    np.testing.assert_array_equal(datapoint.coords, coordinates.grid(found.grid_shape, kind.layout))
    np.testing.assert_array_equal(datapoint.values.reshape(values.shape), found.values)
    assert datapoint.weight.shape == (len(datapoint.coords),)
    assert datapoint.coords.dtype == datapoint.weight.dtype == np.float32


@pytest.mark.parametrize('name', kinds.KINDS)
def test_its_outputs_are_marked_and_no_other_file_is_replaced(name, tmp_path):
    path, values = written(name, tmp_path)
    check_outputs([path])
    kinds.KINDS[name].write(path, values, {'data_range': RANGES[name]})
    path.write_bytes(b"the user's")
    with pytest.raises(InputError, match='was not written by hyperinr'):
        kinds.KINDS[name].write(path, values, {'data_range': RANGES[name]})
    assert path.read_bytes() == b"the user's"


@pytest.mark.parametrize('name', ROUNDING)
def test_values_outside_the_range_are_clipped(name, tmp_path):
    kind, values = kind_of(name), signal_of(name)
    path = tmp_path / f'signal{kind.written}'
    low, high = RANGES[name]
    kind.write(path, values + 2 * (high - low), {'data_range': (low, high)})
    assert kind.read(path).values.min() >= high - 2 * ROUNDING[name] * (high - low)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_metadata_that_describe_no_such_file_are_refused_and_nothing_is_written(name, tmp_path):
    kind, values = kind_of(name), signal_of(name)
    rate = {'rate': 'quick'}
    wrong = {
        'array': {'dtype': 'object'},
        'image': {'file_range': [0, float('nan')]},
        'sound': rate,
        'video': rate,
        'volume': {'affine': [1, 2]},
        'field': {'latitude': {'name': 'lat', 'values': 'north'}, 'longitude': {}},
    }
    tried = [{'file_range': 'all'}, {'file_range': [[0, 1]] * 7}, wrong.get(name, {'scale': 'small'})]
    if name == 'field':
        east = {'name': 'lon', 'attributes': {}, 'values': list(range(8))}
        tried += [
            {
                'latitude': {'name': 'lat', 'attributes': {}, 'values': [90, 45, float('nan'), -45, -90]},
                'longitude': east,
            },
            {'variables': [{'name': 'u', 'dtype': 'int16', 'packing': {'scale_factor': 0}}] * 2},
        ]
    for metadata in tried:
        with pytest.raises(InputError) as caught:
            kind.write(tmp_path / f'signal{kind.written}', values, {'data_range': RANGES[name], **metadata})
        assert '\n' not in str(caught.value)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', kinds.KINDS)
def test_the_suffix_tells_the_kind(name, tmp_path):
    kind = kinds.KINDS[name]
    assert kind.written in kind.suffixes
    first = next(each for each in kinds.KINDS.values() if kind.written in each.suffixes)
    assert kinds.kind_of(tmp_path / f'A{kind.written.upper()}') is first
    assert kinds.kind_of(tmp_path / 'signal.txt', name) is kind


def test_an_unknown_kind_or_suffix_names_those_there_are(tmp_path):
    for path, name in ((tmp_path / 'signal.txt', None), (tmp_path / 'signal.png', 'smell')):
        with pytest.raises(InputError, match='image'):
            kinds.kind_of(path, name)
    with pytest.raises(InputError, match='--as video'):
        kinds.kind_of(tmp_path)


@pytest.mark.parametrize(
    ('file', 'kind'), [('a.npy', 'array'), ('a.gif', 'video'), ('a.nii.gz', 'volume'), ('a.OBJ', 'occupancy')]
)
def test_a_suffix_of_several_kinds_tells_the_first(file, kind, tmp_path):
    assert kinds.kind_of(tmp_path / file).name == kind


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_bad_file_is_refused_in_one_line(name, tmp_path):
    path, _ = written(name, tmp_path)
    kind, content = kinds.KINDS[name], path.read_bytes()
    bad = {
        'missing': None,
        'empty': b'',
        'noise': np.random.default_rng(1).bytes(500),
        'noisy': content[:40] + np.random.default_rng(1).bytes(500),
        'text': b'this is no signal\n' * 20,
        'cut': content[: len(content) // 2],
    }
    if name == 'unsigned_distance':
        del bad['cut']  # The corners of an OBJ alone are a cloud of points.
    for case, data in bad.items():
        victim = tmp_path / f'{case}{kind.written}'
        if data is not None:
            victim.write_bytes(data)
        with pytest.raises(InputError) as caught:
            kind.read(victim)
        assert case in str(caught.value), (name, case)
        assert '\n' not in str(caught.value), (name, case)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_wrong_options_are_refused_in_one_line(name, tmp_path):
    path, _ = written(name, tmp_path)
    wrong_types = ({'channels': '3'}, {'data_range': 'wide'}, {'spacing': 'fine'}, {'spacing': 0.5})
    for options in ({'channels': 17}, {'data_range': (1.0, 0.0)}, {'spacing': (0.0,)}, *wrong_types):
        if name == 'image' and 'spacing' in options:
            continue  # A picture has no unit of length.
        with pytest.raises(InputError) as caught:
            kinds.KINDS[name].read(path, **{**OPTIONS.get(name, {}), **options})
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_pipe_or_folder_is_no_file(name, tmp_path):
    kind = kind_of(name)
    os.mkfifo(tmp_path / f'pipe{kind.written}')
    (tmp_path / f'folder{kind.written}').mkdir()
    for case in ('pipe', 'folder'):
        with pytest.raises(InputError, match=case):
            kind.read(tmp_path / f'{case}{kind.written}')
