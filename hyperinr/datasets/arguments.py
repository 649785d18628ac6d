"""Checks of the arguments that all factories share, made before anything is read or written."""

from collections.abc import Sequence
from pathlib import Path

from hyperinr.datasets.base import SPLITS
from hyperinr.errors import InputError
from hyperinr.runtime.extras import import_extra

__all__ = [
    'check_channels',
    'check_counts',
    'check_fractions',
    'check_resolution',
    'check_seed',
    'check_sizes',
    'package_folder',
]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_sizes(dataset: str, resolution: Sequence[int]) -> tuple[int, ...]:
    """Return ``resolution`` as a tuple of whole numbers >= 1, at least one; otherwise raise `InputError`."""
    sizes = tuple(resolution) if isinstance(resolution, Sequence) else ()
    if not sizes or not all(map(_is_count, sizes)):
        raise InputError(f'{dataset}.resolution must be whole numbers >= 1, such as (32, 32), not {resolution!r}.')
    return sizes


def check_resolution(dataset: str, resolution: Sequence[int]) -> tuple[int, int]:
    """Return ``resolution`` as the ``(height, width)`` of an image; otherwise raise `InputError`."""
    sizes = check_sizes(dataset, resolution)
    if len(sizes) != 2:
        raise InputError(f'{dataset}.resolution must be (height, width), such as (32, 32), not {resolution!r}.')
    return sizes[0], sizes[1]


def check_channels(dataset: str, channels: int) -> None:
    """Raise `InputError` unless ``channels`` is 1 or 3."""
    if channels not in (1, 3):
        raise InputError(f'{dataset}.channels must be 1 (grey) or 3 (RGB), not {channels!r}.')


def check_counts(dataset: str, train: int, validation: int, test: int, *, seed: int) -> dict[str, int]:
    """Return the number of datapoints of each split; raise `InputError` unless each is at least one, or for a seed."""
    check_seed(dataset, seed)
    counts = dict(zip(SPLITS, (train, validation, test), strict=True))
    for split, count in counts.items():
        if not _is_count(count):
            raise InputError(f'{dataset}.num_{split} must be a whole number >= 1, not {count!r}.')
    return counts


def check_fractions(dataset: str, validation: float, test: float) -> None:
    """Raise `InputError` unless both fractions of the data are above 0 and leave some for training."""
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InputError(f'{dataset}.validation_fraction and test_fraction must be above 0 and together below 1.')


def check_seed(dataset: str, seed: int) -> None:
    """Raise `InputError` unless ``seed`` is a whole number >= 0, as NumPy's generators require."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f'{dataset}.seed must be a whole number >= 0, not {seed!r}.')


def package_folder(dataset: str, package: str) -> Path:
    """Return the folder of an installed package that holds a dataset's files."""
    inside = f'the data inside the package {package}'
    return Path(import_extra(package, needed_by=dataset, package=inside, extra='data').__path__[0])
