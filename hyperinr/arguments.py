"""Checks of the arguments of factories: each raises `InputError` for a value that a user can get wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.types import Datapoint

__all__ = ['check_choice', 'check_datapoints', 'check_least', 'check_not_negative', 'check_positive']


def check_positive(what: str, **values: Any) -> None:
    """Raise `InputError` for values that are not positive.

    Args:
      what: the owner of the values, such as ``'a siren'``.
      values: numbers or sequences of numbers, by their names for the user; ``None`` stands for a value that is not
        given.
    """
    _check(what, 'positive values (sizes of at least 1)', lambda value: value > 0, values)


def check_not_negative(what: str, **values: Any) -> None:
    """Raise `InputError` for values below 0; the arguments are those of `check_positive`."""
    _check(what, 'values of at least 0', lambda value: value >= 0, values)


def check_datapoints(datapoints: Datapoint) -> None:
    """Raise `InputError` unless the arrays of datapoints with any batch axes fit each other."""
    *batch, num_points, _ = np.shape(datapoints.coords) if np.ndim(datapoints.coords) > 1 else (-1, -1)
    wanted = {'values': (*batch, num_points), 'weight': (*batch, num_points), 'index': tuple(batch)}
    found = {name: np.shape(getattr(datapoints, name)) for name in wanted}
    found['values'] = found['values'][:-1]
    if found != wanted or 0 in wanted['weight']:
        shapes = ', '.join(f'{name} {np.shape(getattr(datapoints, name))}' for name in ('coords', *wanted))
        raise InputError(
            'the arrays of datapoints must be coords [..., N, D], values [..., N, C], weight [..., N] and index [...], '
            f'none of them empty, not {shapes}.'
        )


def check_least(**values: tuple[Any, int]) -> None:
    """Raise `InputError` for the first value that is below its least one.

    Args:
      **values: ``(value, least)`` by the name for the user; a value of ``None`` is not given.

    Example:
      >>> check_least(num_steps=(0, 1))
      Traceback (most recent call last):
      ...
      hyperinr.errors.InputError: num_steps is 0; it must be at least 1.
    """
    for name, (value, least) in values.items():
        if value is not None and not value >= least:
            raise InputError(f'{name} is {value}; it must be at least {least}.')


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `InputError` unless ``value`` is one of two or more ``choices``."""
    if value not in choices:
        *first, last = map(repr, choices)
        raise InputError(f'{name} must be {", ".join(first)} or {last}, not {value!r}.')


def _check(what: str, needed: str, allowed: Callable[[np.ndarray], Any], values: Mapping[str, Any]) -> None:
    given = {name: value for name, value in values.items() if value is not None}
    wrong = [f'{name}={value}' for name, value in given.items() if not np.all(allowed(np.asarray(value)))]
    if wrong:
        raise InputError(f'{what} needs {needed}, not {", ".join(wrong)}.')
