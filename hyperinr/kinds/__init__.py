"""Kinds of signals: image, sound, ... Each file here reads, and writes again, one kind: file -> `Signal` -> file.

`values` maps the numbers of a file to those of a signal and back; `stacks` and `globe` help single kinds. Decoders of
single formats are in `hyperinr.files`; what a kind looks like is drawn elsewhere. To add one: a file with a `Kind`, a
row below, a row in ``tests/kinds/test_every_kind.py``.
"""

import inspect
from pathlib import Path
from typing import Any

from hyperinr.errors import InputError
from hyperinr.kinds.array import ARRAY
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.field import FIELD
from hyperinr.kinds.image import IMAGE
from hyperinr.kinds.shape import OCCUPANCY, SIGNED_DISTANCE, UNSIGNED_DISTANCE
from hyperinr.kinds.sound import SOUND
from hyperinr.kinds.video import VIDEO
from hyperinr.kinds.volume import VOLUME

__all__ = ['KINDS', 'Kind', 'Signal', 'kind_of', 'read_signal']

KINDS = {
    kind.name: kind
    for kind in (ARRAY, IMAGE, SOUND, VIDEO, VOLUME, FIELD, OCCUPANCY, SIGNED_DISTANCE, UNSIGNED_DISTANCE)
}
"""Name -> kind. A suffix that several kinds share tells the first of them."""


def kind_of(path: Path, name: str | None = None) -> Kind:
    """Return the kind of a file.

    Args:
      path: path of the file, or of the folder of a signal in several files.
      name: name of the kind; ``None``: the longest suffix of the file that a kind has tells it.

    Raises:
      InputError: no such kind, or a suffix that belongs to none.
    """
    if name is not None:
        if name not in KINDS:
            raise InputError(f'there is no kind of signal {name!r}; there are {", ".join(KINDS)}.')
        return KINDS[name]
    lower = path.name.lower()
    # Of suffixes of one length `max` takes the first.
    found = [(len(suffix), kind) for kind in KINDS.values() for suffix in kind.suffixes if lower.endswith(suffix)]
    if found and not path.is_dir():
        return max(found, key=lambda each: each[0])[1]
    if path.is_dir():
        ways = '--as video reads its images as frames, --as volume as slices'
        raise InputError(f'{str(path)!r} is a folder: give a file in it; or {ways}.')
    known = ', '.join(f'{kind.name} ({" ".join(kind.suffixes)})' for kind in KINDS.values())
    raise InputError(f'{str(path)!r} has a suffix of no kind of signal; there are {known}: name one with --as KIND.')


def read_signal(path: Path, kind: Kind, **options: Any) -> Signal:
    """Read a file by a kind's reader.

    Args:
      path: path of the file.
      kind: its kind.
      **options: arguments of `hyperinr.kinds.base.Read`, and those that this kind's reader has beside them, such as
        ``variables`` and ``frame`` of `hyperinr.kinds.field.read_field`; ``None`` is not given.

    Raises:
      InputError: the kind has no such option, or what the reader refuses.
    """
    known = inspect.signature(kind.read).parameters
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in known:
            raise InputError(
                f'{str(path)!r} is read as kind {kind.name!r}, which has no option --{name}; leave it out.'
            )
    return kind.read(path, **given)
