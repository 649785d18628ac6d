"""Videos: three axes, time before rows before columns. A folder of images is read as a video too, one frame a file."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.file_values import FileValues
from hyperinr.files.images import read_image, resize
from hyperinr.files.limits import check_pixels
from hyperinr.files.refusals import decoding, encoding
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.image import pixels_of
from hyperinr.kinds.stacks import images_of
from hyperinr.kinds.values import check_spacing, mapped
from hyperinr.runtime.extras import import_extra
from hyperinr.runtime.files import check_regular
from hyperinr.runtime.outputs import SAID, replacing_output

__all__ = ['VIDEO']

DEMUXERS = {'.mp4': 'mov', '.mov': 'mov', '.m4v': 'mov', '.mkv': 'matroska', '.webm': 'matroska', '.gif': 'gif'}
"""Suffix -> FFmpeg's reader, and that of any other suffix is `OTHERS`. Never told by the content: some of FFmpeg's
readers open further files that a file names."""
OTHERS = 'mov'
RATE = 25.0
"""Frames a second of a folder, and of a video that states none."""
SHORT = 0.95
"""Part of the stated length below which a video is taken for cut short; sound may last a little longer."""
LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)
"""ITU-R BT.601."""


def _read(
    path: Path,
    *,
    channels: int | None = None,
    data_range: tuple[float, float] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Signal:
    if channels not in (None, 1, 3):
        raise InputError(f'a video can be read with 1 (grey) or 3 (RGB) channels, not {channels}.')
    spacing = check_spacing(spacing, 3, '(seconds, pixels, pixels)')
    if path.is_dir():
        values, held, rate, notes = _read_folder(path, data_range)
        file_range, kind = held.range, held.type
    else:
        check_regular(path, 'video file')
        frames, rate, notes = _decode(path)
        found = mapped(frames, data_range, path, by_type=True)
        values, file_range, kind, notes = found.values, found.file_range, 'uint8', [*notes, *found.notes]
    if len(values) == 1:
        notes.append('a single frame')
    if channels == 1:
        values = values @ LUMA
        notes.append('colour turned into grey')
    about = {'dtype': kind, 'rate': rate, 'spacing': [1 / rate, 1.0, 1.0], 'grid_shape': list(values.shape[:3])}
    if spacing is not None:
        count, height, width = values.shape[:3]
        grid = (
            max(1, round(count / rate / spacing[0])),
            *(max(1, round(n / each)) for n, each in zip((height, width), spacing[1:], strict=True)),
        )
        check_pixels(path, grid[0] * grid[1] * grid[2])
        nearest = np.minimum((np.arange(grid[0]) + 0.5) * (count / grid[0]), count - 1).astype(int)
        values = np.stack([resize(values[at], grid[1:]) for at in nearest])
    return Signal(values, (0.0, 1.0), {'file_range': list(file_range), **about}, tuple(notes))


def _read_folder(path: Path, data_range: tuple[float, float] | None) -> tuple[np.ndarray, FileValues, float, list[str]]:
    """Return the frames ``[T, H, W, 3]``, the values of the last file, the rate, and notes."""
    files, pixels = images_of(path, 'frames'), 0
    frames: list[np.ndarray] = []
    for file in files:
        found = read_image(file, 3, data_range)
        if frames and found.image.shape != frames[0].shape:
            raise InputError(
                f'{str(file)!r} has {found.image.shape[:2]} pixels and {files[0].name!r} {frames[0].shape[:2]}; '
                'all frames of a video have one size.'
            )
        pixels += found.image.shape[0] * found.image.shape[1]
        check_pixels(path, pixels)
        frames.append(found.image)
    notes = [*found.notes, f'{len(frames)} files as frames, at {RATE:g} frames a second']
    return np.stack(frames), found.values, RATE, notes


def _decode(path: Path) -> tuple[np.ndarray, float, list[str]]:
    """Return the frames ``[T, H, W, 3]`` uint8, the rate in Hz, and notes."""
    av = import_extra('av', needed_by=f'the video {str(path)!r}', package='PyAV (av)', extra='video')
    reader = DEMUXERS.get(path.suffix.lower(), OTHERS)
    with decoding(path, 'a video'), path.open('rb') as file, av.open(file, 'r', format=reader) as opened:
        if not opened.streams.video:
            raise InputError(f'{str(path)!r} holds no video; sounds are read with --as sound.')
        stream = opened.streams.video[0]
        stream.thread_type = 'AUTO'
        check_pixels(path, stream.width * stream.height)
        notes: list[str] = []
        if opened.streams.audio:
            notes.append('sound left out')
        if len(opened.streams.video) > 1:
            notes.append(f'the first of {len(opened.streams.video)} videos')
        rate = float(stream.average_rate or stream.guessed_rate or RATE)
        frames: list[np.ndarray] = []
        pixels = 0
        for frame in _pixels(opened.decode(stream), notes):
            pixels += frame.shape[0] * frame.shape[1]
            check_pixels(path, pixels)
            if frames and frame.shape != frames[0].shape:
                raise InputError(f'{str(path)!r} changes its size at frame {len(frames)}; cut it there.')
            frames.append(frame)
        if not frames:
            raise InputError(f'{str(path)!r} holds no frames; leave it out.')
        stated = (opened.duration or 0) / av.time_base
        if len(frames) / rate < SHORT * stated:
            notes.append(f'{len(frames) / rate:.2f} s of {stated:.2f} s: the file may be cut short')
    return np.stack(frames), rate, notes


def _pixels(frames: Iterator[Any], notes: list[str]) -> Iterator[np.ndarray]:
    """Return each frame of PyAV as ``[H, W, 3]`` uint8; add to the notes what was converted."""
    said = set()
    for frame in frames:
        parts = frame.format.components
        if max(part.bits for part in parts) > 8:
            said.add(f'values of {max(part.bits for part in parts)} bits read at 8')
        if any(part.is_alpha for part in parts):
            pixels = frame.to_ndarray(format='rgba')
            alpha = pixels[..., 3:].astype(np.uint16)
            pixels = ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
            if alpha.min() < 255:
                said.add('alpha channel composited over white')
        else:
            pixels = frame.to_ndarray(format='rgb24')
        if turns := round(frame.rotation / 90) % 4:
            pixels = np.rot90(pixels, turns)
            said.add('rotated as its display matrix says')
        yield pixels
    notes.extend(sorted(said))


def _write(path: Path, values: np.ndarray, metadata: Mapping[str, Any]) -> None:
    av = import_extra('av', needed_by=f'the video {str(path)!r}', package='PyAV (av)', extra='video')
    with encoding(path, 'a video'):
        count, height, width, channels = values.shape
        if channels not in (1, 3):
            raise InputError(f'{path}: a video has 1 (grey) or 3 (RGB) channels, not {channels}.')
        rate = metadata.get('rate', RATE) * count / metadata.get('grid_shape', [count])[0]
        exact = Fraction(rate).limit_denominator(1001)
        if not 0 < exact < 2**16:
            raise ValueError(f'a rate of {rate}')
    with (
        replacing_output(path) as temporary,
        temporary.open('wb+') as file,
        encoding(path, 'a video'),
        av.open(file, 'w', format='mp4') as opened,
    ):
        opened.metadata['comment'] = SAID
        # Lossless, and of RGB, so that no colour is converted and no size is odd.
        stream = opened.add_stream('libx264rgb', rate=exact, options={'qp': '0', 'preset': 'ultrafast'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'rgb24'
        for frame in values:
            pixels = np.ascontiguousarray(
                np.broadcast_to(pixels_of(frame, metadata, deepest='uint8'), (height, width, 3))
            )
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        opened.mux(stream.encode(None))


VIDEO = Kind('video', tuple(DEMUXERS), '.mp4', _read, _write, num_axes=3)
"""Values in [0, 1], RGB; ``spacing`` in (seconds, pixels, pixels): frames nearest in time, resized by Lanczos.

Written as MP4 by x264 without loss, in RGB: exact to 8 bits. FFmpeg, VLC, mpv and Chrome play it; some other players
want it converted (``ffmpeg -i a.mp4 -pix_fmt yuv420p b.mp4``). The sound track is left out.
"""
