"""Images: bits, alpha on request, and channels beyond colour."""

import numpy as np
import pytest
from PIL import Image

from hyperinr.errors import InputError
from hyperinr.files.image_files import decode_file
from hyperinr.kinds.image import IMAGE


def noise(kind, channels):
    values = np.random.default_rng(channels).integers(0, 2**16, (5, 7, channels))
    return (values % 256 if kind == 'uint8' else values).astype(kind)


@pytest.mark.parametrize('kind', ['uint8', 'uint16'])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_bits_and_channels_come_back(kind, channels, tmp_path):
    array = noise(kind, channels)
    np.save(tmp_path / 'a.npy', array)
    found = IMAGE.read(tmp_path / 'a.npy', channels=channels)
    IMAGE.write(tmp_path / 'b.png', found.values, {**found.metadata, 'data_range': found.data_range})
    decoded = decode_file(tmp_path / 'b.png')
    np.testing.assert_array_equal(decoded.values, array[..., : channels if channels % 2 else channels - 1])
    assert decoded.values.dtype == kind
    if channels in (2, 4):
        np.testing.assert_allclose(decoded.alpha * np.iinfo(kind).max, array[..., -1:], atol=0.01)
    with Image.open(tmp_path / 'b.png') as opened:  # of the same bits, by the header
        assert (tmp_path / 'b.png').read_bytes()[24] == np.iinfo(kind).bits
        opened.load()


def test_a_range_of_twelve_bits_comes_back_in_its_own_numbers(tmp_path):
    array = (noise('uint16', 3) % 4096).astype(np.uint16)
    np.save(tmp_path / 'a.npy', array)
    found = IMAGE.read(tmp_path / 'a.npy', data_range=(0, 4095))
    np.testing.assert_allclose(found.values, array / 4095, atol=1e-6)
    IMAGE.write(tmp_path / 'b.png', found.values, {**found.metadata, 'data_range': found.data_range})
    np.testing.assert_array_equal(decode_file(tmp_path / 'b.png').values, array)


def test_floats_fill_sixteen_bits(tmp_path):
    np.save(tmp_path / 'a.npy', np.linspace(-1, 1, 12).reshape(3, 4))
    found = IMAGE.read(tmp_path / 'a.npy', data_range=(-1.0, 1.0))
    IMAGE.write(tmp_path / 'b.png', found.values, {**found.metadata, 'data_range': found.data_range})
    expected = np.rint(np.linspace(0, 65535, 12)).reshape(3, 4, 1)
    np.testing.assert_allclose(decode_file(tmp_path / 'b.png').values, expected, atol=1)


def test_the_channels_of_the_file_and_alpha_on_request(tmp_path):
    half = np.full((2, 3, 4), 128, np.uint8)
    Image.fromarray(half).save(tmp_path / 'rgba.png')
    Image.fromarray(half[..., 0]).save(tmp_path / 'grey.png')
    shapes = {(name, wanted): IMAGE.read(tmp_path / f'{name}.png', channels=wanted).values.shape[-1]
              for name in ('rgba', 'grey') for wanted in (None, 1, 2, 3, 4)}  # fmt: skip
    assert shapes == {(name, wanted): wanted or {'rgba': 3, 'grey': 1}[name] for name, wanted in shapes}
    np.testing.assert_allclose(IMAGE.read(tmp_path / 'rgba.png', channels=4).values, half / 255)
    np.testing.assert_allclose(IMAGE.read(tmp_path / 'grey.png', channels=4).values[..., 3], 1)
    over_white = 128 / 255 * 128 / 255 + 1 - 128 / 255
    np.testing.assert_allclose(IMAGE.read(tmp_path / 'rgba.png').values, over_white, atol=1e-6)


def test_more_channels_are_read_whole_and_are_no_png(tmp_path):
    array = noise('uint8', 7)
    np.save(tmp_path / 'a.npy', array)
    for channels in (None, 7):
        np.testing.assert_allclose(IMAGE.read(tmp_path / 'a.npy', channels=channels).values, array / 255, atol=1e-7)
    with pytest.raises(InputError, match='has 7 channels and cannot be read with 3'):
        IMAGE.read(tmp_path / 'a.npy', channels=3)
    with pytest.raises(InputError, match='1 to 4 channels'):
        IMAGE.write(tmp_path / 'b.png', array / 255, {'data_range': (0.0, 1.0)})
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path / 'a.tif', array, photometric='minisblack', planarconfig='contig')
    np.testing.assert_allclose(IMAGE.read(tmp_path / 'a.tif').values, array / 255, atol=1e-7)
