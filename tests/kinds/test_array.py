"""Arrays of any number of axes, and files of NumPy that other programs read."""

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.kinds.array import ARRAY


def save(path, array):
    (np.savez if path.suffix == '.npz' else np.save)(path, array)
    return path


@pytest.mark.parametrize('shape', [(7,), (7, 1), (5, 6, 3), (2, 3, 4, 2), (2, 3, 4, 2, 1)])
@pytest.mark.parametrize('kind', ['uint8', 'int32', 'float64', 'bool'])
def test_an_array_comes_back_in_its_shape_and_type(shape, kind, tmp_path):
    array = np.random.default_rng(0).integers(0, 2 if kind == 'bool' else 200, shape).astype(kind)
    for suffix in ('.npy', '.npz'):
        found = ARRAY.read(save(tmp_path / f'a{suffix}', array))
        assert found.values.shape == (shape if len(shape) > 1 else (*shape, 1))
        ARRAY.write(tmp_path / 'b.npy', found.values, {**found.metadata, 'data_range': found.data_range})
        again = np.load(tmp_path / 'b.npy')
        assert (again.shape, again.dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(again, array, atol=1e-4)


def test_one_channel_reads_all_axes_as_the_grid(tmp_path):
    path = save(tmp_path / 'a.npy', np.linspace(0, 1, 20).reshape(4, 5))
    assert ARRAY.read(path, channels=1).values.shape == (4, 5, 1)
    found = ARRAY.read(path)
    assert found.values.shape == (4, 5, 1)
    assert found.notes == ('shape (4, 5) read as a grid of one channel; --channels 5 takes the last axis for it',)
    assert ARRAY.read(path, channels=5).values.shape == (4, 5)
    for channels, shape in ((3, (4, 5)), (None, (1, 1, 1, 1, 1, 1)), (None, ())):
        with pytest.raises(InputError, match='has shape'):
            ARRAY.read(save(tmp_path / 'b.npy', np.zeros(shape)), channels=channels)


def test_an_output_can_be_mapped_into_memory_and_appended_to_none(tmp_path):
    values = np.random.default_rng(0).uniform(size=(3, 4, 2)).astype(np.float32)
    ARRAY.write(tmp_path / 'a.npy', values, {'data_range': (0.0, 1.0)})
    np.testing.assert_array_equal(np.load(tmp_path / 'a.npy', mmap_mode='r'), values)
    head = (tmp_path / 'a.npy').read_bytes()[:128]
    assert head.endswith(b'# written by hyperinr\n')
    assert (tmp_path / 'a.npy').stat().st_size == 128 + values.nbytes


def test_spacing_is_in_samples_of_the_file(tmp_path):
    ramp = np.linspace(0, 1, 12)[:, None].repeat(2, axis=1)
    found = ARRAY.read(save(tmp_path / 'a.npy', ramp), spacing=(0.5,))
    assert found.values.shape == (24, 2)
    np.testing.assert_allclose(np.diff(found.values[2:-2, 0]), 1 / 22, atol=1e-6)


def test_archives_of_several_arrays_and_of_objects_are_refused(tmp_path):
    np.savez(tmp_path / 'two.npz', a=np.zeros(3), b=np.zeros(3))
    np.save(tmp_path / 'objects.npy', np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / 'objects.npz', a=np.array([{}]), allow_pickle=True)
    np.save(tmp_path / 'complex.npy', np.zeros(3, complex))
    np.save(tmp_path / 'none.npy', np.zeros((0, 3)))
    np.save(tmp_path / 'nan.npy', np.full((2, 3), np.nan))
    said = {
        'two.npz': r'holds 2 arrays \(a, b\)',
        'objects.npy': 'corrupt, cut short or pickled',
        'objects.npz': r'holds 2 arrays|corrupt, cut short or pickled',
        'complex.npy': 'no real numbers',
        'none.npy': 'holds no values',
        'nan.npy': 'no finite value',
    }
    for name, words in said.items():
        with pytest.raises(InputError, match=words):
            ARRAY.read(tmp_path / name)
