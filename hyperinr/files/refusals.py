"""What libraries raise at files that they cannot read or write, in one line for the user."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hyperinr.errors import InputError, RunError, first_line

__all__ = ['decoding', 'encoding']


@contextlib.contextmanager
def decoding(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises at a wrong file into `InputError`, one line. ``what`` is ``'a sound'``."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f'{str(path)!r} is not {what} that can be read, or is corrupt or cut short ({first_line(error)}): '
            'save it again, or leave it out.'
        ) from error


@contextlib.contextmanager
def encoding(path: Path, what: str) -> Iterator[None]:
    """Turn whatever wrong values or metadata raise into `InputError`, one line. ``what`` is ``'a sound'``."""
    try:
        yield
    except (InputError, RunError, OSError, MemoryError, AssertionError):
        raise
    except Exception as error:
        said = f'{type(error).__name__}: {first_line(error)}'
        raise InputError(
            f'{path} cannot be written: values and metadata do not describe {what} ({said}); give those of its file.'
        ) from error
