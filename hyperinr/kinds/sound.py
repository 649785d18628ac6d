"""Sounds: one axis, time, with one channel for each microphone."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.limits import check_pixels
from hyperinr.files.refusals import decoding, encoding
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.values import as_type, check_spacing, file_values, mapped
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import check_regular
from hyperinr.runtime.outputs import SAID, replacing_output

__all__ = ['SOUND']

RANGE = (-1.0, 1.0)
RATE = 44100
"""Samples a second of a sound that comes from no file: that of the compact disc."""
MOST_CHANNELS = 1024
"""What a WAV of libsndfile holds."""
BLOCK = 2**18
"""Frames that are decoded at a time, so that memory follows what a file holds and not what it declares."""
UNKNOWN_LENGTH = 0x7FFFF000
"""Bytes. Programs that write a WAV to a pipe declare this length or more."""
WHOLE = {'PCM_U8': (8, 'int16'), 'PCM_16': (16, 'int16'), 'PCM_24': (24, 'int32'), 'PCM_32': (32, 'int32')}
"""Subtype -> bits of a sample, and the type, whose upper bits they are, in which libsndfile takes them."""
REAL = ('FLOAT', 'DOUBLE')


def _read(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Signal:
    check_regular(path, 'sound file')
    spacing = check_spacing(spacing, 1, 'the seconds from sample to sample')
    samples, rate, subtype = _decode(path)
    if not np.isfinite(samples).all():
        raise InputError(f'{str(path)!r} holds NaN or infinite values; replace them before using it.')
    grid_shape, notes = [len(samples)], []
    if data_range is None:
        peak = max(1.0, float(np.abs(samples).max()))
        data_range = (-peak, peak)
        if peak > 1:
            notes.append(f'values up to {peak:g} scaled to [-1, 1]')
    found = mapped(samples, data_range, path, ends=RANGE)
    values, held = found.values, found.values.shape[1]
    if channels is not None and not (isinstance(channels, int) and 1 <= channels <= MOST_CHANNELS):
        raise InputError(f'a sound has 1 to {MOST_CHANNELS} channels, not {channels}.')
    if channels not in (None, held):
        if channels != 1 and held != 1:
            raise InputError(f'{str(path)!r} has {held} channels and cannot be read with {channels}; read 1 or {held}.')
        values = values.mean(axis=1, keepdims=True) if channels == 1 else np.repeat(values, channels, axis=1)
        notes.append(f'{held} channels mixed to one' if channels == 1 else f'one channel repeated to {channels}')
    if spacing is not None and not math.isclose(1 / spacing[0], rate, rel_tol=1e-9):
        wanted = 1 / spacing[0]
        if len(values) * wanted < 0.5 * rate:
            raise InputError(f'{str(path)!r} has no sample left at {wanted:g} Hz; give a smaller spacing.')
        check_pixels(path, math.ceil(len(values) * wanted / rate) * values.shape[1], 'samples')
        soxr = import_extra('soxr', needed_by='resampling of sound', package='soxr', extra='sound')
        with decoding(path, 'a sound'):
            values = np.clip(soxr.resample(values, rate, wanted), *RANGE).astype(np.float32)
        notes.append(f'resampled from {rate} to {wanted:g} Hz')
    about = {'rate': rate, 'subtype': subtype, 'spacing': [1 / rate], 'grid_shape': grid_shape}
    return Signal(values, RANGE, {'file_range': list(found.file_range), **about}, (*notes, *found.notes))


def _decode(path: Path) -> tuple[np.ndarray, int, str]:
    """Return the samples ``[n, C]`` float32, the rate in Hz, and libsndfile's name of their type."""
    soundfile = import_extra('soundfile', needed_by=f'the sound {str(path)!r}', package='soundfile', extra='sound')
    with decoding(path, 'a sound'), path.open('rb') as file:
        _check_length(path, file)
        with soundfile.SoundFile(file) as opened:
            # Of other formats, and of a FLAC that was streamed, libsndfile estimates the number of frames.
            exact = opened.format in ('WAV', 'WAVEX', 'FLAC') and opened.frames < 2**62
            check_pixels(path, opened.frames * opened.channels if exact else 0, 'samples')
            blocks, count = [], 0
            while len(block := opened.read(BLOCK, dtype='float32', always_2d=True)):
                blocks.append(block)
                count += len(block)
                check_pixels(path, count * opened.channels, 'samples')
            if count == 0:
                raise InputError(f'{str(path)!r} holds no samples; leave it out.')
            if exact and count < opened.frames:
                raise InputError(f'{str(path)!r} declares {opened.frames} samples and holds {count}: it is cut short.')
            return np.concatenate(blocks), opened.samplerate, opened.subtype


def _check_length(path: Path, file: BinaryIO) -> None:
    """Raise `InputError` for a WAV that is shorter than it declares, of which libsndfile reads what there is."""
    head, held = file.read(12), file.seek(0, 2)
    file.seek(0)
    declared = int.from_bytes(head[4:8], 'little') + 8
    if head[:4] == b'RIFF' and held + 1 < declared < UNKNOWN_LENGTH:
        raise InputError(f'{str(path)!r} declares {declared:,} bytes and holds {held:,}: it is cut short.')


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    soundfile = import_extra('soundfile', needed_by=f'the sound {str(path)!r}', package='soundfile', extra='sound')
    with encoding(path, 'a sound'):
        (frames, channels), found = values.shape, file_values(values, metadata)
        subtype = metadata.get('subtype', 'PCM_16')
        subtype = subtype if subtype in (*WHOLE, *REAL) else 'PCM_16'
        if subtype in WHOLE:
            bits, kind = WHOLE[subtype]
            shift = np.dtype(kind).itemsize * 8 - bits
            most = 2.0 ** (bits - 1)
            samples = as_type(np.clip(np.rint(found * most), -most, most - 1) * 2**shift, kind)
        else:
            samples = found.astype(np.float32)
        stretch = frames / metadata.get('grid_shape', [frames])[0]
        rate = max(1, round(metadata.get('rate', RATE) * stretch))
    with (
        replacing_output(path) as temporary,
        temporary.open('wb+') as file,
        encoding(path, 'a sound'),
        soundfile.SoundFile(file, 'w', rate, channels, subtype, format='WAV') as opened,
    ):
        opened.comment = SAID
        opened.write(samples)


SOUND = Kind('sound', ('.wav', '.flac', '.ogg', '.mp3'), '.wav', _read, _write, num_axes=1)
"""Values in [-1, 1]; ``spacing`` in seconds. Written as WAV of the file's rate and bits; 16 for compressed files."""
