"""Kinds of signals: image, sound, ... Each file here reads, and writes again, one kind: file -> `Signal` -> file.

Decoders of single formats are in `hyperinr.files`; what a kind looks like is drawn elsewhere. To add one: a file with a
`Kind`, a row below, a row in ``tests/kinds/test_every_kind.py``.
"""

from pathlib import Path

from hyperinr.errors import InputError
from hyperinr.kinds.base import Kind, Signal
from hyperinr.kinds.image import IMAGE

__all__ = ['KINDS', 'Kind', 'Signal', 'kind_of']

KINDS = {kind.name: kind for kind in (IMAGE,)}
"""Name -> kind. A suffix that several kinds share tells the first of them."""


def kind_of(path: Path, name: str | None = None) -> Kind:
    """Return the kind of a file.

    Args:
      path: path of the file.
      name: name of the kind; ``None``: the suffix of the file tells it.

    Raises:
      InputError: no such kind, or a suffix that belongs to none.
    """
    if name is not None:
        if name not in KINDS:
            raise InputError(f'there is no kind of signal {name!r}; there are {", ".join(KINDS)}.')
        return KINDS[name]
    for kind in KINDS.values():
        if path.name.lower().endswith(kind.suffixes):
            return kind
    if path.is_dir():
        raise InputError(f'{str(path)!r} is a folder: give a file in it, or say with --as KIND what the folder holds.')
    known = ', '.join(f'{kind.name} ({" ".join(kind.suffixes)})' for kind in KINDS.values())
    raise InputError(f'{str(path)!r} has a suffix of no kind of signal; there are {known}: name one with --as KIND.')
