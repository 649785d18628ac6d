"""Folders of images that are one signal: the frames of a video, the slices of a volume."""

import re
from pathlib import Path

from hyperinr.errors import InputError
from hyperinr.files.image_files import SUFFIXES

__all__ = ['images_of']


def images_of(folder: Path, what: str) -> list[Path]:
    """Return the image files of a folder in the order of their numbers: ``frame2.png`` before ``frame10.png``.

    Hidden files are left out, and folders.

    Args:
      folder: an existing folder.
      what: what an image is, for messages: ``'frames'``.

    Raises:
      InputError: the folder has no image, has other files beside images, or cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith('.') and not path.is_dir()]
    except OSError as error:
        raise InputError(f'{str(folder)!r} cannot be read ({error.strerror}); allow reading.') from error
    others = sorted(path.name for path in files if path.suffix.lower() not in SUFFIXES)
    if others or not files:
        found = f'also holds {others[0]!r}' if others else 'holds no file'
        raise InputError(f'{str(folder)!r} {found}; a folder of {what} holds images ({" ".join(SUFFIXES)}) alone.')
    return sorted(files, key=_by_number)


def _by_number(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r'(\d+)', path.name)
    # Digits stand at the odd places. Without leading zeros, a longer number is a greater one.
    return [(len(part.lstrip('0')), part.lstrip('0')) if at % 2 else (0, part) for at, part in enumerate(parts)]
