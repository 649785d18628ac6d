"""What every kind of signal promises: there and back within the rounding of its format, and one line for a bad file."""

import os

import numpy as np
import pytest

from hyperinr import coordinates, kinds
from hyperinr.errors import InputError
from hyperinr.runtime.outputs import check_outputs

SHAPES = {'image': (12, 9, 3)}
"""Kind -> shape of a test signal, channels last."""
ROUNDING = {'image': 0.5 / 255}
"""Kind -> largest difference after writing and reading, as a fraction of the range."""
RANGES = {'image': (0.0, 1.0)}


def signal_of(name):
    low, high = RANGES[name]
    return np.random.default_rng(0).uniform(low, high, SHAPES[name]).astype(np.float32)


def written(name, folder):
    """A file of the kind, the values in it, and its metadata."""
    kind, values = kinds.KINDS[name], signal_of(name)
    path, metadata = folder / f'signal{kind.written}', {'data_range': RANGES[name]}
    kind.write(path, values, metadata)
    return path, values


def test_the_tables_name_every_kind():
    assert SHAPES.keys() == ROUNDING.keys() == RANGES.keys() == kinds.KINDS.keys()


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_signal_comes_back_from_its_file(name, tmp_path):
    path, values = written(name, tmp_path)
    kind = kinds.KINDS[name]
    read = kind.read(path)
    low, high = read.data_range
    assert read.values.dtype == np.float32
    assert read.values.shape == values.shape
    assert read.data_range == RANGES[name]
    assert np.abs(read.values - values).max() <= 1.001 * ROUNDING[name] * (high - low)
    again = path.with_name(f'again{kind.written}')
    kind.write(again, read.values, {**read.metadata, 'data_range': read.data_range})
    np.testing.assert_array_equal(kind.read(again).values, read.values)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_signal_is_a_datapoint_of_all_its_samples(name, tmp_path):
    path, values = written(name, tmp_path)
    kind = kinds.KINDS[name]
    read = kind.read(path)
    found = read.datapoint()
    assert kind.num_axes in (None, len(read.grid_shape))
    assert read.layout == kind.layout
    np.testing.assert_array_equal(found.coords, coordinates.grid(read.grid_shape, kind.layout))
    np.testing.assert_array_equal(found.values.reshape(values.shape), read.values)
    assert found.weight.shape == (len(found.coords),)
    assert found.coords.dtype == found.weight.dtype == np.float32


@pytest.mark.parametrize('name', kinds.KINDS)
def test_its_outputs_are_marked_and_values_outside_the_range_clipped(name, tmp_path):
    kind, values = kinds.KINDS[name], signal_of(name)
    path = tmp_path / f'signal{kind.written}'
    low, high = RANGES[name]
    kind.write(path, values + 2 * (high - low), {'data_range': (low, high)})
    check_outputs([path])
    assert kind.read(path).values.min() >= high - 2 * ROUNDING[name] * (high - low)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_the_suffix_tells_the_kind(name, tmp_path):
    kind = kinds.KINDS[name]
    assert kind.written in kind.suffixes
    assert kinds.kind_of(tmp_path / f'A{kind.written.upper()}') is kind
    assert kinds.kind_of(tmp_path / 'signal.txt', name) is kind


def test_an_unknown_kind_or_suffix_names_those_there_are(tmp_path):
    for path, name in ((tmp_path / 'signal.txt', None), (tmp_path / 'signal.png', 'smell')):
        with pytest.raises(InputError, match='image'):
            kinds.kind_of(path, name)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_bad_file_is_refused_in_one_line(name, tmp_path):
    path, _ = written(name, tmp_path)
    kind, content = kinds.KINDS[name], path.read_bytes()
    bad = {
        'missing': None,
        'empty': b'',
        'noise': np.random.default_rng(1).bytes(500),
        'text': b'this is no signal\n' * 20,
        'cut': content[: len(content) // 2],
    }
    for case, data in bad.items():
        victim = tmp_path / f'{case}{kind.written}'
        if data is not None:
            victim.write_bytes(data)
        with pytest.raises(InputError) as caught:
            kind.read(victim)
        assert case in str(caught.value), (name, case)
        assert '\n' not in str(caught.value), (name, case)


@pytest.mark.parametrize('name', kinds.KINDS)
def test_a_pipe_or_folder_is_no_file(name, tmp_path):
    kind = kinds.KINDS[name]
    os.mkfifo(tmp_path / f'pipe{kind.written}')
    with pytest.raises(InputError):
        kind.read(tmp_path / f'pipe{kind.written}')
