"""Reading and resizing of images. For every kind of file the result is float32 in [0, 1].

Letters: ``H``, ``W`` pixels of the image, ``C`` channels, ``h``, ``w`` pixels of the result.
"""

import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.files.file_values import FileValues, check_data_range, scale
from hyperinr.files.image_files import decode_file
from hyperinr.runtime.files import check_regular
from hyperinr.runtime.outputs import PNG_MARK, replacing_output

__all__ = ['FileImage', 'decode', 'letterbox', 'quantise', 'read_image', 'resize', 'write_picture']


class FileImage(NamedTuple):
    """An image as it was read.

    Attributes:
      image: ``[H, W, C]`` float32 in [0, 1].
      conversions: what was converted, in words, without the range of the values.
      values: the range of the file's values.
    """

    image: np.ndarray
    conversions: list[str]
    values: FileValues

    @property
    def notes(self) -> list[str]:
        """What a user should know; empty for an 8-bit grey or RGB image that was not converted."""
        note = self.values.note()
        return [note, *self.conversions] if note else self.conversions


@checked
def read_image(
    path: str | os.PathLike, channels: int | None = 3, data_range: tuple[float, float] | None = None
) -> FileImage:
    """Read a file of one of the `hyperinr.files.image_files.KINDS`.

    Images that are not 8-bit grey or RGB are converted, and each conversion is a note for the user. Alpha is composited
    over white, a palette is resolved to colours, grey is repeated, colour is turned into grey (ITU-R 601 luma), and an
    EXIF rotation is applied. A ``.npy`` array is ``[H, W]`` or ``[H, W, C]`` of integers or floats.

    Args:
      path: path of the file.
      channels: channels of the result, 1 (grey), 3 (RGB), 2 or 4 (the same with alpha, which is then kept as it is);
        or as many as the file has beyond four. ``None``: those of the file without alpha.
      data_range: ``(LOW, HIGH)``, values of the file that become 0 and 1; values outside are clipped. ``None``: from 0
        to the largest value of 8 and 16 bits; floats must lie in [0, 1]; other integers need a range.

    Raises:
      InputError: no such file, a pipe or device, an unknown form of image, a damaged or truncated file, too many
        pixels, NaN, or a wrong or missing range.
    """
    path = Path(path)
    if channels is not None and channels < 1:
        raise InputError(f'an image can be read with 1 (grey) or 3 (RGB) channels, not {channels}.')
    data_range = check_data_range('the data range', data_range)
    check_regular(path, 'image file')
    decoded = decode_file(path)
    found, with_alpha = decoded.values.shape[-1], channels in (2, 4)
    wanted = found if channels is None else channels - with_alpha
    if wanted != found and (found not in (1, 3) or wanted not in (1, 3)):
        raise InputError(f'{str(path)!r} has {found} channels and cannot be read with {wanted}; read all of them.')
    image, values = scale(decoded.values, data_range, str(path))
    conversions = list(decoded.notes)
    if decoded.alpha is not None and not with_alpha:
        image = image * decoded.alpha + (1 - decoded.alpha)
        conversions.append('alpha channel composited over white')
    if found == 1 and wanted == 3:
        image = np.repeat(image, 3, axis=-1)
        conversions.append('grey repeated to RGB')
    if found == 3 and wanted == 1:
        image = image @ np.array([[0.299], [0.587], [0.114]], np.float32)
        conversions.append('colour turned into grey')
    if with_alpha:
        alpha = np.ones((*image.shape[:2], 1)) if decoded.alpha is None else decoded.alpha
        image = np.concatenate([image, alpha], axis=-1)
    return FileImage(np.clip(image, 0, 1).astype(np.float32), conversions, values)


def _check_resampling(image: np.ndarray, shape: Sequence[int]) -> None:
    if np.ndim(image) != 3 or 0 in np.shape(image) or len(shape) != 2 or min(shape) < 1:
        raise InputError(f'images are [H, W, C] and get a shape (h, w), sizes >= 1; not {np.shape(image)} and {shape}.')


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decode an 8-bit image to ``[H, W, C]`` uint8, C 1 (grey) or 3 (RGB)."""
    with Image.open(io.BytesIO(encoded)) as opened:
        image = np.asarray(opened.convert('RGB' if channels == 3 else 'L'))
    return image if channels == 3 else image[..., None]


@checked
def resize(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resample with the Lanczos filter (3 lobes). The filter is widened when the image shrinks, to prevent aliasing.

    Args:
      image: ``[H, W, C]`` floating point.
      shape: ``(h, w)``.

    Returns:
      ``[h, w, C]`` float32 within the range of the image's values (the filter's overshoot is clipped).
    """
    _check_resampling(image, shape)
    height, width = shape
    if image.shape[:2] == (height, width):
        return image.astype(np.float32)
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32)).resize(
            (width, height), Image.Resampling.LANCZOS
        )
        for channel in range(image.shape[-1])
    ]
    resized = np.stack([np.asarray(plane, np.float32) for plane in planes], axis=-1)
    return np.clip(resized, image.min(), image.max())


@checked
def letterbox(image: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Fit the whole image into a canvas, centred and with its aspect ratio (to a pixel); the rest is padding.

    Args:
      image: ``[H, W, C]`` floating point.
      shape: ``(h, w)`` of the canvas.

    Returns:
      The canvas ``[h, w, C]``, 0 in the padding, and the (top, left, height, width) of the image on it, pixels.
    """
    _check_resampling(image, shape)
    scale = min(shape[0] / image.shape[0], shape[1] / image.shape[1])
    height, width = (max(1, round(n * scale)) for n in image.shape[:2])
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas = np.zeros((*shape, image.shape[-1]), np.float32)
    canvas[top : top + height, left : left + width] = resize(image, (height, width))
    return canvas, (top, left, height, width)


def quantise(image: np.ndarray) -> np.ndarray:
    """Round values in [0, 1] to the nearest of 256 levels, uint8."""
    return np.round(np.asarray(image) * 255).astype(np.uint8)


def write_picture(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write ``[H, W, C]`` uint8 or uint16 as PNG; C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).

    Raises:
      InputError: there is no permission to write, or another program wrote ``path``.
      RunError: the disk is full.
    """
    text = PngImagePlugin.PngInfo()
    for name, value in PNG_MARK.items():
        text.add_text(name, value)
    with replacing_output(path) as temporary:
        if pixels.dtype == np.uint16:
            temporary.write_bytes(_deep_png(pixels))
        else:
            Image.fromarray(pixels if pixels.shape[-1] > 1 else pixels[..., 0]).save(temporary, 'png', pnginfo=text)


def _deep_png(pixels: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow does not write in colour.

    Portable Network Graphics, third edition (W3C, 2025): chunks in section 5, the filter "Sub" in section 9.2.
    """
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels, '>u2').view(np.uint8).reshape(height, -1)
    filtered = np.ones((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 1:] = rows
    filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
    header = struct.pack('>IIBBBBB', width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    said = b'\0'.join(word.encode() for each in PNG_MARK.items() for word in each)
    chunks = {b'IHDR': header, b'tEXt': said, b'IDAT': zlib.compress(filtered.tobytes()), b'IEND': b''}
    checked = (
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(checked)
