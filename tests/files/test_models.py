"""Folders of saved models: what was changed, cut or mixed is refused, and nothing else is replaced."""

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.files.models import in_structure, is_saved_model, read_model, write_model
from hyperinr.files.tensors import read_tensors, write_tensors
from hyperinr.types import DatasetSpec

TENSORS = {'base/w': np.arange(6, dtype=np.float32).reshape(2, 3).T, 'rates': np.zeros(0, np.float32)}
PARAMS = {'base': {'w': TENSORS['base/w']}, 'rates': TENSORS['rates']}
SPEC = DatasetSpec('ä', (4,), 4, 1, 1, (0.0, 1.0))


def write(folder, step=3, params=PARAMS, dtype='float32'):
    write_model(folder, params, {'step': step}, config='siren.width = 8\n', spec=SPEC, dtype=dtype)


def test_what_was_written_is_read(tmp_path):
    write(tmp_path / 'new' / 'model')
    write(tmp_path / 'new' / 'model', step=4)
    tensors, metadata = read_model(tmp_path / 'new' / 'model')
    assert metadata == {'step': 4}
    assert is_saved_model(tmp_path / 'new' / 'model')
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, TENSORS[name])


def test_parameters_come_back_in_their_structure_or_not_at_all(tmp_path):
    write(tmp_path, dtype='float16')
    tensors, _ = read_model(tmp_path)
    assert {each.dtype.name for each in tensors.values()} == {'float16'}
    restored = in_structure(tensors, PARAMS)
    assert restored.keys() == PARAMS.keys()
    np.testing.assert_array_equal(restored['base']['w'], PARAMS['base']['w'])
    assert restored['base']['w'].dtype == np.float32
    assert in_structure(tensors, {'base': {'w': np.zeros((3, 3))}, 'rates': np.zeros(0)}) is None
    assert in_structure(tensors, {'base': PARAMS['base']}) is None


def test_parameters_beyond_float16_are_named(tmp_path):
    with pytest.raises(InputError, match=r"base/w is not finite in float16: save the model with dtype='float32'"):
        write(tmp_path / 'model', params={'base': {'w': np.float32([1e5])}}, dtype='float16')
    assert not (tmp_path / 'model').exists()


def flip_last_byte(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


DAMAGES = {
    'another config': lambda folder: (folder / 'config.gin').write_text('siren.width = 9\n'),
    'another specification': lambda folder: (folder / 'spec.json').write_text('{"name": "b"}\n'),
    'no config': lambda folder: (folder / 'config.gin').unlink(),
    'no text': lambda folder: (folder / 'spec.json').write_bytes(b'\xff\xfe'),
    'one bit of a tensor': lambda folder: flip_last_byte(folder / 'model.safetensors'),
    'cut in half': lambda folder: (folder / 'model.safetensors').write_bytes(
        (folder / 'model.safetensors').read_bytes()[:150]
    ),
    'of another version': lambda folder: write_tensors(
        folder / 'model.safetensors', TENSORS, {'schema': 0}, format='safetensors'
    ),
    'without a digest': lambda folder: write_tensors(
        folder / 'model.safetensors', TENSORS, {'schema': 1}, format='safetensors'
    ),
    'of another model': lambda folder: write_tensors(
        folder / 'model.safetensors',
        {'base/w': TENSORS['base/w']},
        read_tensors(folder / 'model.safetensors', format='safetensors')[1],
        format='safetensors',
    ),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_what_was_changed_is_refused_in_one_line_and_can_be_saved_again(damage, tmp_path):
    write(tmp_path / 'model')
    DAMAGES[damage](tmp_path / 'model')
    with pytest.raises(InputError) as error:
        read_model(tmp_path / 'model')
    assert '\n' not in str(error.value)
    assert str(tmp_path / 'model') in str(error.value)
    if damage != 'cut in half':
        write(tmp_path / 'model')
        read_model(tmp_path / 'model')


def test_folders_of_other_things_stay(tmp_path):
    (tmp_path / 'file').write_text('a file')
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'notes.txt').write_text('notes')
    (tmp_path / 'foreign').mkdir()
    (tmp_path / 'foreign' / 'model.safetensors').write_bytes(b'of another program')
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    for name, said in (('file', 'is a file'), ('folder', 'is not empty'), ('foreign', 'was not written by hyperinr')):
        with pytest.raises(InputError, match=said):
            write(tmp_path / name)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
