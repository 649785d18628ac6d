"""Videos: rate, order and colours of the frames, folders of them, and files that are something else."""

import numpy as np
import pytest
from PIL import Image

from hyperinr.errors import InputError
from hyperinr.kinds.video import VIDEO

av = pytest.importorskip('av')


def frames(count=5, height=8, width=10):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def save(path, pixels, *, codec='libx264rgb', kind='rgb24', rate=10, sound=False, **options):
    with av.open(str(path), 'w') as opened:
        stream = opened.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[1:3], kind
        if sound:
            track = opened.add_stream('aac', rate=8000)
        for frame in pixels:
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        opened.mux(stream.encode(None))
        if sound:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
            silence.sample_rate = 8000
            opened.mux([*track.encode(silence), *track.encode(None)])
    return path


def test_an_mp4_has_its_rate_and_its_sound_is_left_out(tmp_path):
    pixels = frames()
    found = VIDEO.read(save(tmp_path / 'a.mp4', pixels, sound=True, qp='0'))
    np.testing.assert_array_equal(np.round(found.values * 255), pixels)
    assert found.metadata['rate'] == 10
    assert found.metadata['spacing'] == [0.1, 1, 1]
    assert 'sound left out' in found.notes
    finer = np.repeat(found.values, 3, axis=0)
    VIDEO.write(tmp_path / 'b.mp4', finer, {**found.metadata, 'data_range': (0.0, 1.0)})
    assert VIDEO.read(tmp_path / 'b.mp4').metadata['rate'] == 30


def test_a_lossy_file_is_read_within_a_bound(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8)[None, None, :, None], (4, 32, 32, 3))
    found = VIDEO.read(save(tmp_path / 'a.mp4', ramp, codec='libx264', kind='yuv420p', crf='10'))
    assert np.abs(found.values * 255 - ramp).mean() < 4


def test_a_gif_is_a_video_and_one_frame_is_said(tmp_path):
    levels = np.arange(3, dtype=np.uint8).repeat(48).reshape(3, 6, 8) * 100
    pictures = [Image.fromarray(level) for level in levels]
    pictures[0].save(tmp_path / 'a.gif', save_all=True, append_images=pictures[1:], duration=50)
    found = VIDEO.read(tmp_path / 'a.gif')
    np.testing.assert_allclose(found.values * 255, levels[..., None].repeat(3, axis=-1), atol=1)
    assert found.metadata['rate'] == pytest.approx(20)
    pictures[0].save(tmp_path / 'b.gif')
    assert 'a single frame' in VIDEO.read(tmp_path / 'b.gif').notes


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    pixels = frames(12)
    for index, frame in enumerate(pixels):
        Image.fromarray(frame).save(tmp_path / f'frame{index}.png')
    (tmp_path / '.hidden').write_text('')
    found = VIDEO.read(tmp_path)
    np.testing.assert_array_equal(np.round(found.values * 255), pixels)
    assert '12 files as frames, at 25 frames a second' in found.notes
    grey = VIDEO.read(tmp_path, channels=1).values
    expected = pixels @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(grey[..., 0], expected, atol=1e-6)
    Image.fromarray(frames(1, 4, 4)[0]).save(tmp_path / 'frame12.png')
    with pytest.raises(InputError, match=r"frame12.png' has \(4, 4\) pixels and 'frame0.png' \(8, 10\)"):
        VIDEO.read(tmp_path)
    (tmp_path / 'frames.txt').write_text('')
    with pytest.raises(InputError, match=r"also holds 'frames.txt'; a folder of frames holds images"):
        VIDEO.read(tmp_path)


def test_spacing_chooses_frames_and_resizes(tmp_path):
    pixels = np.broadcast_to(np.arange(6, dtype=np.uint8)[:, None, None, None] * 40, (6, 8, 8, 3))
    path = save(tmp_path / 'a.mp4', pixels, qp='0')
    found = VIDEO.read(path, spacing=(0.2, 2.0, 1.0))
    assert found.values.shape == (3, 4, 8, 3)
    np.testing.assert_allclose(found.values[:, 0, 0, 0] * 255, [40, 120, 200], atol=1e-3)


@pytest.mark.parametrize('suffix', ['.mp4', '.gif', '.mkv'])
def test_a_playlist_opens_no_other_file(suffix, tmp_path):
    """FFmpeg tells some readers by the content; these open files that are named there."""
    secret = save(tmp_path / 'secret.mp4', frames())
    for text in (
        f'ffconcat version 1.0\nfile {secret.name}\n',
        f'#EXTM3U\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n',
    ):
        (tmp_path / f'a{suffix}').write_text(text)
        with pytest.raises(InputError, match='is not a video that can be read'):
            VIDEO.read(tmp_path / f'a{suffix}')


def test_limits_hold_while_frames_are_read(tmp_path, monkeypatch):
    path = save(tmp_path / 'a.mp4', frames())
    monkeypatch.setattr('hyperinr.files.limits.MOST_PIXELS', 5 * 80 - 1)
    with pytest.raises(InputError, match='400 pixels, more than the 399'):
        VIDEO.read(path)
    cut = tmp_path / 'cut.mp4'
    cut.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match='is not a video that can be read'):
        VIDEO.read(cut)
