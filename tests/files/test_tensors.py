"""Files of tensors: what is written is what was in the array, whatever its layout in memory."""

import numpy as np
import pytest
from safetensors.numpy import load

from hyperinr.files.tensors import TENSOR_FORMATS, read_tensors, safetensors_bytes, write_tensors

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)
LAYOUTS = {
    'transposed': MATRIX.T,
    'fortran': np.asfortranarray(MATRIX),
    'strided': MATRIX[:, ::2],
    'reversed': MATRIX[::-1],
    'broadcast': np.broadcast_to(MATRIX[0], (4, 3)),
    'big-endian': MATRIX.astype('>f4'),
    'scalar': np.array(7, np.int64),
    'empty': MATRIX[:0].T,
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_the_layout_of_an_array_does_not_matter(tmp_path, layout):
    array = LAYOUTS[layout]
    found = load(safetensors_bytes({'a': array}))['a']
    np.testing.assert_array_equal(found, array, strict=layout != 'big-endian')
    assert safetensors_bytes({'a': array}) == safetensors_bytes({'a': found})
    for format in TENSOR_FORMATS:
        write_tensors(tmp_path / 'a', {'a': array}, {'b': [1]}, format=format)
        tensors, metadata = read_tensors(tmp_path / 'a', format=format)
        np.testing.assert_array_equal(tensors['a'], array)
        assert metadata == {'b': [1]}
