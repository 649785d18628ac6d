"""Checks of the arguments that all factories share: one clear line before anything is read or written."""

from collections.abc import Mapping, Sequence

from hyperinr.errors import InputError

__all__ = ['check_counts', 'check_resolution', 'check_seed', 'check_sizes']


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_sizes(dataset: str, resolution: Sequence[int]) -> tuple[int, ...]:
    """``resolution`` as a tuple of one or more whole numbers >= 1."""
    sizes = tuple(resolution) if isinstance(resolution, Sequence) else ()
    if not sizes or not all(map(_is_count, sizes)):
        raise InputError(f'{dataset}.resolution must be whole numbers >= 1, such as (32, 32), not {resolution!r}.')
    return sizes


def check_resolution(dataset: str, resolution: Sequence[int]) -> tuple[int, int]:
    """`check_sizes` of an image, ``(height, width)``."""
    sizes = check_sizes(dataset, resolution)
    if len(sizes) != 2:
        raise InputError(f'{dataset}.resolution must be (height, width), such as (32, 32), not {resolution!r}.')
    return sizes[0], sizes[1]


def check_counts(dataset: str, counts: Mapping[str, int]) -> None:
    """Every split has at least one datapoint."""
    for split, count in counts.items():
        if not _is_count(count):
            raise InputError(f'{dataset}.num_{split} must be a whole number >= 1, not {count!r}.')


def check_seed(dataset: str, seed: int) -> None:
    """A whole number >= 0, which is what NumPy's generators take."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f'{dataset}.seed must be a whole number >= 0, not {seed!r}.')
