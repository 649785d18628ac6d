"""Decoding of image files into arrays of the file's own type. `KINDS` lists the files that are read.

Letters: ``H``, ``W`` pixels, ``C`` channels.
"""

import logging
import math
import re
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps

from hyperinr.errors import InputError
from hyperinr.files.arrays import read_npy
from hyperinr.files.limits import MOST_PIXELS, check_pixels
from hyperinr.runtime.extras import import_extra

__all__ = ['IN_WORDS', 'KINDS', 'LEVELS', 'SUFFIXES', 'Decoded', 'decode_file']

KINDS = {
    'PNG': ('.png',),
    'JPEG': ('.jpg', '.jpeg'),
    'TIFF': ('.tif', '.tiff'),
    'WebP': ('.webp',),
    'BMP': ('.bmp',),
    '.npy': ('.npy',),
}
"""Kind of file -> suffixes that a file of it has."""
SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
IN_WORDS = f'{", ".join(list(KINDS)[:-1])} or {list(KINDS)[-1]}'
FORMATS = tuple(kind for kind in KINDS if kind != '.npy')
LEVELS = {'bool': 1, 'uint8': 255, 'uint16': 65535}
"""Largest value of each integer type whose range needs no statement."""
LOW_BYTE = {'B': 'L', 'L': 'B', 'N': 'B' if sys.byteorder == 'little' else 'L'}
"""Byte order of 16-bit values -> the order that puts their low byte where Pillow expects the high one."""
REMEDY = 'save it again, or leave it out'
BITS, ORIENTATION, PLANES, SAMPLE_FORMAT = 258, 274, 284, 339
"""TIFF tags."""


class Decoded(NamedTuple):
    """The content of a file.

    Attributes:
      values: ``[H, W, C]`` in the type of the file, with all of its bits: grey, RGB or more than four channels.
      alpha: ``[H, W, 1]`` float32 in [0, 1]; ``None`` for an opaque image.
      notes: conversions, in words.
    """

    values: np.ndarray
    alpha: np.ndarray | None
    notes: list[str]


def decode_file(path: Path) -> Decoded:
    """Decode a file of one of the `KINDS`; a picture by its content, an array by its suffix ``.npy``.

    A palette is resolved to colours, CMYK is converted to RGB, an EXIF rotation is applied. Of several pages or frames,
    the first is read.

    Raises:
      InputError: another kind of file, a damaged or truncated file, more pixels than `hyperinr.files.limits` allows, an
        array that is no image, or tifffile is missing for a TIFF of floats or of more than 16 bits.
    """
    if path.suffix.lower() == '.npy':
        return _read_array(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Of large images and of damaged metadata, which are read all the same.
            with Image.open(path, formats=FORMATS) as opened:
                check_pixels(path, math.prod(opened.size))
                tags = getattr(opened, 'tag_v2', None)
                if tags is None or _is_simple(tags):
                    return _read_picture(path, opened)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        found = re.search(r'\d+', str(error))  # Pillow has a limit of its own, above ours.
        check_pixels(path, int(found[0]) if found else MOST_PIXELS + 1)
    except Image.UnidentifiedImageError as error:
        if path.suffix.lower() not in KINDS['TIFF']:
            raise InputError(f'{str(path)!r} is no {IN_WORDS} file, or is corrupt: {REMEDY}.') from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise InputError(f'{str(path)!r} is corrupt or cut short and cannot be decoded: {REMEDY}.') from error
    return _read_tiff(path)


def _is_simple(tags: dict) -> bool:
    """Tell whether Pillow reads this TIFF exactly: unsigned integers of at most 16 bits, channels side by side."""
    bits, unsigned = max(tags.get(BITS, (1,))), set(tags.get(SAMPLE_FORMAT, (1,))) == {1}
    return unsigned and (bits <= 8 or (bits == 16 and tags.get(PLANES, 1) == 1))


def _read_array(path: Path) -> Decoded:
    def check(shape: tuple[int, ...]) -> None:
        check_pixels(path, math.prod(shape) // (shape[2] if len(shape) == 3 and 1 <= shape[2] <= 4 else 1))

    return _split(path, read_npy(path, check), [])


def _split(path: Path, array: np.ndarray, notes: list[str]) -> Decoded:
    """Split an array ``[H, W]`` or ``[H, W, C]`` into values and alpha, the last of 2 or 4 channels."""
    image = array[..., None] if array.ndim == 2 else array
    if image.ndim != 3 or 0 in image.shape:
        raise InputError(f'{str(path)!r} has shape {array.shape}; an image is [H, W] or [H, W, C].')
    if image.shape[-1] not in (2, 4):
        return Decoded(image, None, notes)
    values, alpha = image[..., :-1], image[..., -1:]
    real = np.issubdtype(alpha.dtype, np.floating)
    if image.dtype.name not in LEVELS and not (real and alpha.min() >= 0 and alpha.max() <= 1):
        raise InputError(f'{str(path)!r} has an alpha channel outside [0, 1]; save the colours alone.')
    return Decoded(values, alpha.astype(np.float32) / LEVELS.get(image.dtype.name, 1), notes)


def _read_picture(path: Path, opened: ImageFile.ImageFile) -> Decoded:
    """Read the first frame of a picture by Pillow."""
    raw, notes = _raw_mode(opened), []
    frames = getattr(opened, 'n_frames', 1)
    if frames > 1:
        notes.append(f'the first of {frames} {"pages" if opened.format == "TIFF" else "frames"}')
    if opened.getexif().get(ORIENTATION, 1) != 1:
        notes.append('rotated as its EXIF orientation says')
    transparent = opened.info.get('transparency')
    if raw == 'LA;16B':
        # Four bytes of a pixel, read as if they were RGBA: high and low of grey, high and low of alpha.
        pairs = _pixels(path, 'RGBA').astype(np.uint16)
        return _split(path, pairs[..., ::2] * 256 + pairs[..., 1::2], notes)
    kind, _, depth = raw.partition(';16')
    if depth and kind in ('RGB', 'RGBX', 'RGBA'):
        # Pillow keeps the high byte of 16-bit colours. In the other byte order it keeps the low one.
        high, low = (_pixels(path, f'{kind};16{order}') for order in (depth, LOW_BYTE[depth]))
        decoded = _split(path, high.astype(np.uint16) * 256 + low, notes)
        return _without_colour(decoded, transparent)
    opened.load()
    picture = ImageOps.exif_transpose(opened)
    mode = picture.mode
    if mode.startswith('I;16'):
        return _without_colour(Decoded(np.asarray(picture).astype(np.uint16)[..., None], None, notes), transparent)
    if depth:
        notes.append('16-bit colour read at 8 bits')
    if mode in ('P', 'PA'):
        notes.append('palette resolved to colours')
        picture = picture.convert('RGB' if mode == 'P' and transparent is None else 'RGBA')
    elif transparent is not None:
        picture = picture.convert('RGBA')
    elif mode not in ('L', 'LA', 'RGB', 'RGBA'):
        if mode != '1':
            notes.append(f'{mode} colours converted to RGB')
        picture = picture.convert('L' if mode == '1' else 'RGB')
    return _split(path, np.asarray(picture), notes)


def _raw_mode(opened: ImageFile.ImageFile) -> str:
    """Return Pillow's name of the layout of the file's pixels; of compressed ones, after decompression."""
    args = opened.tile[0].args if opened.tile else None
    return args if isinstance(args, str) else str(args[0]) if args else ''


def _pixels(path: Path, raw: str) -> np.ndarray:
    """Decode the pixels as if their layout was ``raw``, ``[H, W, 3 or 4]`` uint8, rotated as the file says."""
    with Image.open(path, formats=FORMATS) as opened:
        opened.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in opened.tile
        ]
        opened.load()
        return np.asarray(ImageOps.exif_transpose(opened))


def _without_colour(decoded: Decoded, colour: int | tuple[int, ...] | None) -> Decoded:
    """Make the pixels of the transparent ``colour`` of a 16-bit PNG transparent; ``None``: there is none."""
    if colour is None:
        return decoded
    opaque = (decoded.values != np.asarray(colour, np.uint16)).any(axis=-1, keepdims=True)
    return decoded._replace(alpha=opaque.astype(np.float32))


def _read_tiff(path: Path) -> Decoded:
    """Read the first page of a TIFF that Pillow cannot read exactly."""
    needed_by = f'{str(path)!r}, a TIFF of floats, of more than 16 bits or of separate planes,'
    tifffile = import_extra('tifffile', needed_by=needed_by, package='tifffile', extra='data')
    logging.getLogger('tifffile').setLevel(logging.CRITICAL)  # It also logs the errors that it raises.
    try:
        with tifffile.TiffFile(path) as opened:
            page, pages = opened.pages[0], len(opened.pages)
            for shape in (page.shape, page.chunks):
                check_pixels(path, math.prod(shape) // max(1, page.samplesperpixel if page.samplesperpixel <= 4 else 1))
            array = page.asarray()
    except InputError:
        raise
    except Exception as error:
        if 'imagecodecs' in str(error):
            raise InputError(
                f'{str(path)!r} is compressed by {page.compression.name}; install imagecodecs, or save it without.'
            ) from error
        raise InputError(f'{str(path)!r} is corrupt or cut short and cannot be decoded: {REMEDY}.') from error
    if array.ndim == 3 and page.planarconfig == 2:
        array = np.moveaxis(array, 0, -1)
    return _split(path, array, [f'the first of {pages} pages'] if pages > 1 else [])
