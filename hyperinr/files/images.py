"""Reading and resizing of images. For every kind of file the result is float32 in [0, 1].

Letters: ``H``, ``W`` pixels of the image, ``C`` channels, ``h``, ``w`` pixels of the result.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hyperinr.errors import InputError
from hyperinr.runtime.files import replacing

__all__ = ['decode', 'letterbox', 'quantise', 'read_image', 'resize', 'to_rgb', 'write_picture']


LEVELS = {'bool': 1, 'uint8': 255, 'uint16': 65535}
"""Largest value of each integer type that an image array may have."""


def read_image(path: str | os.PathLike, channels: int = 3) -> tuple[np.ndarray, list[str]]:
    """Read a PNG, a JPEG or a ``.npy`` array as ``[H, W, C]`` float32 in [0, 1].

    Images that are not 8-bit grey or RGB are converted, and each conversion is a note for the user. Alpha is composited
    over white, a palette is resolved to colours, 16-bit values are scaled, grey is repeated, colour is turned into grey
    (ITU-R 601 luma), and an EXIF rotation is applied. A ``.npy`` array is ``[H, W]`` or ``[H, W, C]``: uint8, uint16,
    bool or floats in [0, 1].

    Args:
      path: path of the file.
      channels: channels of the result, 1 (grey) or 3 (RGB).

    Returns:
      The image and the notes. The notes are empty if nothing was converted.

    Raises:
      InputError: no such file, an unknown form of image, a damaged or truncated file, NaN, or values out of range.
    """
    path = Path(path)
    if channels not in (1, 3):
        raise InputError(f'an image can be read with 1 (grey) or 3 (RGB) channels, not {channels}.')
    if not path.is_file():
        raise InputError(f'there is no image file {str(path)!r}.')
    image, notes = _read_array(path) if path.suffix.lower() == '.npy' else _read_picture(path)
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:]
        image = image[..., :-1] * alpha + (1 - alpha)
        notes.append('alpha channel composited over white')
    if image.shape[-1] == 1 and channels == 3:
        image = np.repeat(image, 3, axis=-1)
        notes.append('grey repeated to RGB')
    if image.shape[-1] == 3 and channels == 1:
        image = image @ np.array([[0.299], [0.587], [0.114]], np.float32)
        notes.append('colour turned into grey')
    return np.clip(image, 0, 1).astype(np.float32), notes


def _read_array(path: Path) -> tuple[np.ndarray, list[str]]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(
            f'{str(path)!r} is not a readable .npy array of numbers (corrupt, cut short or pickled).'
        ) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f'{str(path)!r} is an archive of arrays; save one array with numpy.save.')
    image = array[..., None] if array.ndim == 2 else array
    if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4) or 0 in image.shape:
        raise InputError(f'{str(path)!r} has shape {array.shape}; an image is [H, W] or [H, W, C] with C of 1 to 4.')
    if image.dtype.name in LEVELS:
        notes = ['16-bit values scaled to [0, 1]'] if image.dtype.name == 'uint16' else []
        return image.astype(np.float32) / LEVELS[image.dtype.name], notes
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(
            f'{str(path)!r} holds {array.dtype}, which has no stated range; save uint8, uint16 or floats in [0, 1].'
        )
    if not np.isfinite(image).all():
        raise InputError(f'{str(path)!r} holds NaN or infinite values; replace them before using it.')
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise InputError(f'{str(path)!r} holds values from {low:g} to {high:g}; scale them to [0, 1].')
    return image.astype(np.float32), []


def _read_picture(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return ``[H, W, 1 to 4]`` with alpha last, and the notes."""
    try:
        with Image.open(path, formats=('PNG', 'JPEG')) as opened:
            deep = bool(opened.tile) and ';16' in str(opened.tile[0][-1])
            opened.load()
            picture = ImageOps.exif_transpose(opened)
            rotated = opened.getexif().get(0x0112, 1) != 1
    except Image.DecompressionBombError as error:
        raise InputError(f'{str(path)!r} has too many pixels to decode safely; cut it into smaller files.') from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f'{str(path)!r} is neither a PNG nor a JPEG nor a .npy file, or is corrupt.') from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise InputError(f'{str(path)!r} is corrupt or cut short and cannot be decoded.') from error
    notes = ['rotated as its EXIF orientation says'] if rotated else []
    mode = picture.mode
    if mode.startswith('I') or mode == 'F':
        values = np.asarray(picture, np.float32) / 65535
        return values[..., None], [*notes, '16-bit values scaled to [0, 1]']
    if deep:
        notes.append('16-bit colour read at 8 bits')
    transparent = 'transparency' in picture.info
    if mode in ('P', 'PA'):
        notes.append('palette resolved to colours')
        picture = picture.convert('RGBA' if mode == 'PA' or transparent else 'RGB')
    elif transparent:
        picture = picture.convert('RGBA')
    elif mode not in ('L', 'LA', 'RGB', 'RGBA'):
        if mode != '1':
            notes.append(f'{mode} colours converted to RGB')
        picture = picture.convert('L' if mode == '1' else 'RGB')
    image = np.asarray(picture, np.float32) / 255
    return (image[..., None] if image.ndim == 2 else image), notes


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decode an 8-bit image to ``[H, W, C]`` uint8, C 1 (grey) or 3 (RGB)."""
    with Image.open(io.BytesIO(encoded)) as opened:
        image = np.asarray(opened.convert('RGB' if channels == 3 else 'L'))
    return image if channels == 3 else image[..., None]


def resize(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resample with the Lanczos filter (3 lobes). The filter is widened when the image shrinks, to prevent aliasing.

    Args:
      image: ``[H, W, C]`` floating point.
      shape: ``(h, w)``.

    Returns:
      ``[h, w, C]`` float32 within the range of the image's values (the filter's overshoot is clipped).
    """
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


def letterbox(image: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Fit the whole image into a canvas, centred and with its aspect ratio (to a pixel); the rest is padding.

    Args:
      image: ``[H, W, C]`` floating point.
      shape: ``(h, w)`` of the canvas.

    Returns:
      The canvas ``[h, w, C]``, 0 in the padding, and the (top, left, height, width) of the image on it, pixels.
    """
    scale = min(shape[0] / image.shape[0], shape[1] / image.shape[1])
    height, width = (max(1, round(n * scale)) for n in image.shape[:2])
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas = np.zeros((*shape, image.shape[-1]), np.float32)
    canvas[top : top + height, left : left + width] = resize(image, (height, width))
    return canvas, (top, left, height, width)


def quantise(image: np.ndarray) -> np.ndarray:
    """Round values in [0, 1] to the nearest of 256 levels, uint8."""
    return np.round(np.asarray(image) * 255).astype(np.uint8)


def to_rgb(values: np.ndarray, data_range: tuple[float, float]) -> np.ndarray:
    """Turn values ``[..., C]`` into RGB ``[..., 3]`` in [0, 1], clipped; unless C is 3, grey by the channels' mean."""
    low, high = data_range
    unit = np.clip((values - low) / (high - low), 0, 1)
    return unit if unit.shape[-1] == 3 else np.repeat(unit.mean(axis=-1, keepdims=True), 3, axis=-1)


def write_picture(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write ``[H, W, C]`` uint8, C 1 (grey) or 3 (RGB), in the format of the suffix.

    Raises:
      InputError: there is no permission to write.
      RunError: the disk is full.
    """
    with replacing(path) as temporary:
        Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(temporary)
