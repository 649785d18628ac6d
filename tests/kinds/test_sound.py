"""Sounds: samples of every type come back, resampling keeps frequencies, and what is clipped or mixed is said."""

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.kinds.sound import SOUND

soundfile = pytest.importorskip('soundfile')
pytest.importorskip('soxr')


def save(path, samples, rate=8000, **options):
    soundfile.write(path, samples, rate, **options)
    return path


def sine(rate, hertz, seconds=0.25):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize('subtype', ['PCM_U8', 'PCM_16', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE', 'ULAW'])
def test_a_wav_is_written_again_with_its_rate_type_and_samples(subtype, tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    samples[0] = -1
    path = save(tmp_path / 'a.wav', samples, 11025, subtype=subtype)
    found = SOUND.read(path)
    SOUND.write(tmp_path / 'b.wav', found.values, {**found.metadata, 'data_range': found.data_range})
    expected, actual = soundfile.read(path, dtype='float32'), soundfile.read(tmp_path / 'b.wav', dtype='float32')
    np.testing.assert_array_equal(actual[0], expected[0])
    assert actual[1] == 11025
    assert soundfile.info(tmp_path / 'b.wav').subtype == ('PCM_16' if subtype == 'ULAW' else subtype)
    assert found.metadata['spacing'] == [1 / 11025]


@pytest.mark.parametrize('suffix', ['flac', 'ogg', 'mp3'])
def test_compressed_files_are_read(suffix, tmp_path):
    path = save(tmp_path / f'a.{suffix}', sine(16000, 440), 16000)
    found = SOUND.read(path)
    assert found.metadata['rate'] == 16000
    assert len(found.values) >= 4000
    spectrum = np.abs(np.fft.rfft(found.values[:4000, 0]))
    assert np.argmax(spectrum) * 16000 / 4000 == pytest.approx(440, abs=4)


@pytest.mark.parametrize('rate', [4000, 8000, 22050])
def test_resampling_keeps_the_frequency_and_the_length(rate, tmp_path):
    path = save(tmp_path / 'a.wav', sine(8000, 500, 0.5), subtype='FLOAT')
    found = SOUND.read(path, spacing=(1 / rate,))
    assert abs(len(found.values) - rate / 2) <= 1
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(found.values[inner, 0], sine(rate, 500, len(found.values) / rate)[inner], atol=2e-3)
    assert found.metadata['rate'] == 8000


def test_a_finer_grid_of_the_same_seconds_has_a_higher_rate(tmp_path):
    found = SOUND.read(save(tmp_path / 'a.wav', sine(8000, 100)))
    SOUND.write(tmp_path / 'b.wav', np.repeat(found.values, 2, axis=0), {**found.metadata, 'data_range': (-1.0, 1.0)})
    assert soundfile.info(tmp_path / 'b.wav').samplerate == 16000


def test_channels_are_mixed_by_the_mean_or_repeated(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    stereo, mono = (
        save(tmp_path / name, x, subtype='FLOAT') for name, x in (('2.wav', samples), ('1.wav', samples[:, 0]))
    )
    found = SOUND.read(stereo, channels=1)
    np.testing.assert_allclose(found.values[:, 0], samples.mean(axis=1), atol=1e-7)
    assert found.notes == ('2 channels mixed to one',)
    np.testing.assert_array_equal(SOUND.read(mono, channels=2).values, samples[:, :1].repeat(2, axis=1))
    with pytest.raises(InputError, match='has 2 channels and cannot be read with 3'):
        SOUND.read(stereo, channels=3)


def test_floats_beyond_one_are_scaled_and_come_back(tmp_path):
    samples = np.array([0.5, -4.0, 2.0], np.float32)
    found = SOUND.read(save(tmp_path / 'a.wav', samples, subtype='FLOAT'))
    np.testing.assert_allclose(found.values[:, 0], samples / 4)
    assert found.metadata['file_range'] == [-4, 4]
    assert found.notes == ('values up to 4 scaled to [-1, 1]',)
    SOUND.write(tmp_path / 'b.wav', found.values, {**found.metadata, 'data_range': found.data_range})
    np.testing.assert_allclose(soundfile.read(tmp_path / 'b.wav')[0], samples)
    clipped = SOUND.read(tmp_path / 'a.wav', data_range=(-1.0, 1.0))
    np.testing.assert_allclose(clipped.values[:, 0], [0.5, -1, 1])
    assert clipped.notes == ('2 values outside -1 to 1 clipped',)
    with pytest.raises(InputError, match='holds NaN'):
        SOUND.read(save(tmp_path / 'nan.wav', np.array([0.0, np.nan]), subtype='FLOAT'))


def test_what_is_declared_is_compared_with_what_is_there(tmp_path, monkeypatch):
    path = save(tmp_path / 'a.wav', sine(8000, 100))
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(InputError, match='declares 4,044 bytes and holds 4,034: it is cut short'):
        SOUND.read(path)
    path.write_bytes(content[:4] + b'\xff\xff\xff\xff' + content[8:-10])  # to a pipe, nobody knows the length
    assert len(SOUND.read(path).values) == 1995
    flac = save(tmp_path / 'a.flac', np.random.default_rng(0).uniform(-1, 1, 20000))
    flac.write_bytes(flac.read_bytes()[:20000])
    with pytest.raises(InputError, match=r'a\.flac'):
        SOUND.read(flac)
    monkeypatch.setattr('hyperinr.files.limits.MOST_PIXELS', 1999)
    with pytest.raises(InputError, match='2,000 samples, more than the 1,999'):
        SOUND.read(save(tmp_path / 'long.wav', sine(8000, 100)))
    with pytest.raises(InputError, match='2,000 samples, more than the 1,999'):
        SOUND.read(save(tmp_path / 'short.wav', sine(8000, 100, 0.01)), spacing=(0.01 / 2000,))
