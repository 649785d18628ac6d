"""Whatever a file holds: converted and said, or refused in one line."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from hyperinr.errors import InputError
from hyperinr.files.image_files import decode_file
from hyperinr.files.images import letterbox, quantise, read_image, resize


def ramp(height=6, width=9, channels=3):
    values = np.arange(height * width * channels) % 256
    return values.astype(np.uint8).reshape(height, width, channels)


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def read(path, **options):
    found = read_image(path, **options)
    return found.image, found.notes


def test_an_8_bit_rgb_png_is_read_exactly_and_without_notes(tmp_path):
    image, notes = read(save(tmp_path / 'a.png', ramp()))
    assert image.dtype == np.float32
    assert notes == []
    np.testing.assert_array_equal(quantise(image), ramp())


def test_a_jpeg_is_read_close_to_what_was_written(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 160, 5, np.uint8)[:, None, None], (32, 24, 3))
    image, notes = read(save(tmp_path / 'a.jpg', np.ascontiguousarray(smooth), quality=95))
    assert notes == []
    np.testing.assert_allclose(image, smooth / 255, atol=0.02)


def test_grey_is_repeated(tmp_path):
    grey = ramp(channels=1)[..., 0]
    image, notes = read(save(tmp_path / 'a.png', grey))
    assert notes == ['grey repeated to RGB']
    np.testing.assert_array_equal(quantise(image), np.repeat(grey[..., None], 3, axis=-1))
    kept, notes = read(tmp_path / 'a.png', channels=1)
    assert notes == []
    assert kept.shape == (6, 9, 1)


def test_colour_becomes_luma(tmp_path):
    path = save(tmp_path / 'a.png', np.full((2, 2, 3), (255, 0, 0), np.uint8))
    image, notes = read(path, channels=1)
    assert notes == ['colour turned into grey']
    np.testing.assert_allclose(image, 0.299, atol=1e-6)


def test_alpha_is_composited_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 255, 51)
    image, notes = read(save(tmp_path / 'a.png', rgba))
    assert notes == ['alpha channel composited over white']
    np.testing.assert_allclose(image[0, :, 0], [1, 0, 0.8], atol=1e-6)


def test_a_palette_is_looked_up(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert('P')
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / 'a.png')
    image, notes = read(tmp_path / 'a.png')
    assert notes == ['palette resolved to colours']
    np.testing.assert_array_equal(quantise(image), [[[10, 20, 30], [40, 50, 60]]])


def test_a_palette_with_a_transparent_colour_is_looked_up_and_composited(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert('P')
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / 'a.png', transparency=0)
    image, notes = read(tmp_path / 'a.png')
    assert notes == ['palette resolved to colours', 'alpha channel composited over white']
    np.testing.assert_array_equal(quantise(image), [[[255, 255, 255], [40, 50, 60]]])


def test_16_bit_grey_keeps_its_precision(tmp_path):
    image, notes = read(save(tmp_path / 'a.png', np.array([[0, 257, 65535]], np.uint16)), channels=1)
    assert notes == ['16-bit values from 0 to 65535 scaled by 65535']
    np.testing.assert_allclose(image[0, :, 0], [0, 257 / 65535, 1], atol=1e-7)


PNG_COLOURS = {1: 0, 3: 2, 2: 4, 4: 6}
"""Channels -> colour type of a PNG."""


def save_16_bit_png(path, values, chunks=b''):
    """Pillow writes 16-bit grey only: signature, IHDR, IDAT and IEND by the PNG specification."""

    height, width, channels = values.shape
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
    header = struct.pack('>IIBBBBB', width, height, 16, PNG_COLOURS[channels], 0, 0, 0)
    body = png_chunk(b'IHDR', header) + chunks + png_chunk(b'IDAT', zlib.compress(rows)) + png_chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + body)
    return path


def png_chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def random_values(dtype, channels):
    values = np.random.default_rng(channels).integers(0, 2**16, (5, 7, channels))
    return values.astype(dtype)


def save_deep_tiff(path, values, planes='contig', **options):
    channels = values.shape[-1]
    options |= {'photometric': 'rgb', 'planarconfig': planes} if channels > 1 else {'photometric': 'minisblack'}
    options |= {'extrasamples': ['unassalpha']} if channels == 4 else {}
    tifffile.imwrite(path, np.moveaxis(values, -1, 0) if planes == 'separate' else values.squeeze(), **options)
    return path


TIFFS = ({}, {'byteorder': '>'}, {'compression': 'zlib'}, {'byteorder': '>', 'compression': 'zlib'})


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_a_16_bit_png_keeps_all_bits(tmp_path, channels):
    values = random_values(np.uint16, channels)
    decoded = decode_file(save_16_bit_png(tmp_path / 'a.png', values))
    colours = channels if channels in (1, 3) else channels - 1
    np.testing.assert_array_equal(decoded.values, values[..., :colours])
    assert decoded.values.dtype == np.uint16
    if colours < channels:
        np.testing.assert_allclose(decoded.alpha, values[..., -1:] / 65535, atol=1e-7)


@pytest.mark.parametrize('channels', [1, 3])
def test_the_transparent_colour_of_a_16_bit_png_is_white(tmp_path, channels):
    values = random_values(np.uint16, channels)
    values[1, 2] = values[0, 0]
    transparent = png_chunk(b'tRNS', values[0, 0].astype('>u2').tobytes())
    image, _ = read(save_16_bit_png(tmp_path / 'a.png', values, transparent))
    expected = np.broadcast_to(values / 65535, image.shape).copy()
    expected[[0, 1], [0, 2]] = 1
    np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize('channels', [1, 3, 4])
@pytest.mark.parametrize('options', TIFFS, ids=str)
@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'uint32', 'float32', 'float64'])
def test_a_tiff_of_any_type_keeps_its_values(tmp_path, dtype, options, channels):
    if channels == 4 and dtype not in ('uint8', 'uint16'):
        channels = 3
    for planes in ('contig', 'separate') if channels > 1 else ('contig',):
        values = random_values(dtype, channels)
        decoded = decode_file(save_deep_tiff(tmp_path / 'a.tif', values, planes, **options))
        np.testing.assert_array_equal(decoded.values, values[..., : min(channels, 3)])
        assert decoded.values.dtype.newbyteorder('=') == dtype
        if channels == 4:
            np.testing.assert_allclose(decoded.alpha, values[..., 3:] / np.iinfo(dtype).max, atol=1e-6)


@pytest.mark.parametrize('suffix', ['tif', 'tiff', 'webp', 'bmp', 'TIF'])
def test_other_kinds_of_8_bit_files_are_read_exactly(tmp_path, suffix):
    options = {'lossless': True} if suffix == 'webp' else {}
    image, notes = read(save(tmp_path / f'a.{suffix}', ramp(), **options))
    assert notes == []
    np.testing.assert_array_equal(quantise(image), ramp())


@pytest.mark.parametrize(('suffix', 'called'), [('tif', 'pages'), ('webp', 'frames'), ('png', 'frames')])
def test_of_several_pages_or_frames_the_first_is_read(tmp_path, suffix, called):
    first, second = Image.fromarray(ramp()), Image.fromarray(255 - ramp())
    options = {'lossless': True} if suffix == 'webp' else {}
    first.save(tmp_path / f'a.{suffix}', save_all=True, append_images=[second], **options)
    image, notes = read(tmp_path / f'a.{suffix}')
    assert notes == [f'the first of 2 {called}']
    np.testing.assert_array_equal(quantise(image), ramp())


def test_a_stack_of_floats_is_read_from_its_first_page(tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', np.stack([np.full((4, 5), 0.25), np.ones((4, 5))]).astype(np.float32))
    image, notes = read(tmp_path / 'a.tif', channels=1)
    assert notes == ['the first of 2 pages']
    np.testing.assert_array_equal(image, np.full((4, 5, 1), 0.25, np.float32))


def test_a_missing_tifffile_is_named_with_its_extra(tmp_path, monkeypatch):
    path = save_deep_tiff(tmp_path / 'a.tif', random_values('float32', 1))
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    with pytest.raises(InputError, match=r'needs tifffile; install hyperinr\[data\]'):
        read_image(path)


def test_12_bit_values_in_a_16_bit_file_are_said_to_be_dark(tmp_path):
    path = save(tmp_path / 'a.png', np.array([[3, 4095]], np.uint16))
    image, notes = read(path, channels=1)
    dark = '16-bit values from 3 to 4095 scaled by 65535, so the image is dark; --data-range 0,4095 scales by 4095'
    assert notes == [dark]
    np.testing.assert_allclose(image[0, :, 0], [3 / 65535, 4095 / 65535], rtol=1e-6)
    image, notes = read(path, channels=1, data_range=(0, 4095))
    assert notes == ['16-bit values from 3 to 4095, 0 to 4095 mapped to [0, 1]']
    np.testing.assert_allclose(image[0, :, 0], [3 / 4095, 1], rtol=1e-6)


@pytest.mark.parametrize(('highest', 'advised'), [(0, None), (16383, '0,16383'), (16384, None), (65535, None)])
def test_a_range_is_advised_below_a_quarter_of_the_largest_value(tmp_path, highest, advised):
    _, (note,) = read(save(tmp_path / 'a.png', np.full((2, 2), highest, np.uint16)), channels=1)
    assert ('dark' in note) == (advised is not None)
    assert advised is None or f'--data-range {advised} ' in note


def test_values_outside_the_given_range_are_clipped_and_counted(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([[-30, -10], [10, 50]], np.int16))
    image, notes = read(tmp_path / 'a.npy', channels=1, data_range=(-20, 20))
    assert notes == ['int16 values from -30 to 50, -20 to 20 mapped to [0, 1]; 2 values clipped']
    np.testing.assert_allclose(image[..., 0], [[0, 0.25], [0.75, 1]], atol=1e-7)
    assert read_image(tmp_path / 'a.npy', data_range=(-20, 20)).values.range == (-20.0, 20.0)


@pytest.mark.parametrize(
    'wrong', [(5, 5), (7, 5), (0, float('inf')), (0, float('nan')), (1,), (1, 2, 3), ('a', 'b'), 3, '05']
)
def test_a_range_is_two_finite_numbers_in_order(tmp_path, wrong):
    with pytest.raises(InputError, match='data.range must be (two|2 values in brackets, each a) finite number'):
        read_image(save(tmp_path / 'a.png', ramp()), data_range=wrong)


def test_floats_with_alpha_outside_its_range_are_refused(tmp_path):
    np.save(tmp_path / 'a.npy', np.full((2, 2, 4), 200.0))
    with pytest.raises(InputError, match=r'an alpha channel outside \[0, 1\]'):
        read_image(tmp_path / 'a.npy', data_range=(0, 255))


def test_black_and_white_and_cmyk_are_converted(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert('1').save(tmp_path / 'bw.png')
    image, _ = read(tmp_path / 'bw.png', channels=1)
    assert image[..., 0].tolist() == [[0, 1]]
    Image.new('CMYK', (8, 8), (0, 0, 0, 0)).save(tmp_path / 'print.jpg')
    image, notes = read(tmp_path / 'print.jpg')
    assert notes == ['CMYK colours converted to RGB']
    np.testing.assert_allclose(image, 1, atol=0.02)


def test_an_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image, notes = read(save(tmp_path / 'a.jpg', ramp(8, 16), exif=exif))
    assert image.shape == (16, 8, 3)
    assert notes == ['rotated as its EXIF orientation says']


@pytest.mark.parametrize(
    ('array', 'first'),
    [
        (ramp(), ramp()[0, 0] / 255),
        (np.full((2, 2), 13107, np.uint16), [0.2] * 3),
        (np.ones((2, 2, 1), bool), [1.0] * 3),
        (np.full((2, 2, 3), 0.25, np.float64), [0.25] * 3),
        (np.full((2, 2, 4), 0.5, np.float16), [0.75] * 3),
    ],
)
def test_npy_arrays(tmp_path, array, first):
    np.save(tmp_path / 'a.npy', array)
    image, _ = read(tmp_path / 'a.npy')
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[0, 0], first, atol=1e-6)


@pytest.mark.parametrize(
    ('array', 'said'),
    [
        (np.array([[0.5, np.nan]]), 'NaN'),
        (np.array([[0.5, np.inf]]), 'NaN or infinite'),
        (np.array([[-0.5, 3.0]]), 'from -0.5 to 3; scale them .* --data-range=-0.5,3 '),
        (np.full((2, 2), 1j), 'complex128, which are no values'),
        (np.array([[3, 4095]]), 'int64, which has no stated range; .* --data-range 3,4095 '),
        (np.zeros((2, 2, 5)), 'has 5 channels and cannot be read with 3'),
        (np.zeros((0, 2, 3)), r'shape \(0, 2, 3\)'),
        (np.array([[None]]), 'pickled'),
    ],
)
def test_npy_arrays_that_are_refused(tmp_path, array, said):
    np.save(tmp_path / 'a.npy', array, allow_pickle=True)
    with pytest.raises(InputError, match=said):
        read_image(tmp_path / 'a.npy')


def test_other_files_are_refused(tmp_path):
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'empty.npy').touch()
    np.savez(tmp_path / 'archive.npz', ramp())
    (tmp_path / 'archive.npz').rename(tmp_path / 'archive.npy')
    save(tmp_path / 'a.gif', ramp())
    for name in ('text.png', 'empty.png', 'empty.npy', 'archive.npy', 'a.gif', 'missing.png', '.'):
        with pytest.raises(InputError) as raised:
            read_image(tmp_path / name)
        assert '\n' not in str(raised.value)
        assert str(tmp_path) in str(raised.value)
    with pytest.raises(InputError, match='not 0'):
        read_image(tmp_path / 'text.png', channels=0)


@pytest.mark.parametrize('form', ['png', 'jpeg', 'tiff', 'webp', 'bmp'])
def test_a_file_cut_short_or_damaged_is_refused_or_read_but_never_a_defect(tmp_path, form):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, form)
    whole = buffer.getvalue()
    path = tmp_path / f'a.{form}'
    for length in range(0, len(whole) * 3 // 4, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match='corrupt.*: save it again, or leave it out'):
            read_image(path)
    rng = np.random.default_rng(1)
    for _ in range(100):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, min(400, len(whole)), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            image, _ = read(path)
        except InputError:
            continue
        assert np.isfinite(image).all()


def test_resizing_keeps_constants_and_the_mean_and_does_not_alias():
    np.testing.assert_allclose(resize(np.full((7, 9, 2), 0.3, np.float32), (3, 20)), 0.3, atol=1e-6)
    stripes = np.zeros((64, 64, 1), np.float32)
    stripes[:, ::2] = 1
    small = resize(stripes, (8, 8))
    assert small.shape == (8, 8, 1)
    np.testing.assert_allclose(small[:, 1:-1], 0.5, atol=0.02)


def test_resizing_a_slope_gives_the_slope_at_the_new_pixel_centres():
    x = (np.arange(60) + 0.5) / 60
    image = np.broadcast_to(x[None, :, None], (20, 60, 1))
    small = resize(image, (10, 12))
    np.testing.assert_allclose(small[4, 2:-2, 0], (np.arange(12)[2:-2] + 0.5) / 12, atol=1e-3)


def test_resizing_stays_in_range_despite_overshoot():
    edge = np.zeros((32, 32, 1), np.float32)
    edge[:, 16:] = 1
    assert resize(edge, (24, 24)).min() >= 0
    assert resize(edge, (24, 24)).max() <= 1


@pytest.mark.parametrize(
    ('size', 'canvas', 'box'),
    [
        ((20, 40), (8, 8), (2, 0, 4, 8)),
        ((40, 20), (8, 8), (0, 2, 8, 4)),
        ((3, 3), (6, 12), (0, 3, 6, 6)),
        ((1, 999), (4, 4), (1, 0, 1, 4)),
    ],
)
def test_a_letterbox_keeps_the_whole_image_and_pads_the_rest(size, canvas, box):
    padded, found = letterbox(np.full((*size, 3), 0.7, np.float32), canvas)
    assert found == box
    assert padded.shape == (*canvas, 3)
    top, left, height, width = box
    np.testing.assert_allclose(padded[top : top + height, left : left + width], 0.7, atol=1e-6)
    assert np.count_nonzero(padded) == 3 * height * width
