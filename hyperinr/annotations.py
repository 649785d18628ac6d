"""Check values against the annotations of the parameters that they are meant for: of a call, or of a binding of gin.

A whole number has 32 bits and is never a bool, a seed is 0 or more, and other numbers are finite in float32. An array
holds real numbers. Ranges and shapes are checked by the functions themselves.
"""

import functools
import inspect
import os
import reprlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.errors import InputError

__all__ = ['Meets', 'checked', 'needed', 'shown']

Arguments = ParamSpec('Arguments')
Result = TypeVar('Result')
Meets = Callable[[Any, Any], bool | None]
"""``(annotation, value)`` -> whether a value meets it, or ``None`` if that is to be found out here."""

INTEGERS = np.iinfo(np.int32)
MOST = float(np.finfo(np.float32).max)
ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
CONTRACTS = ('hyperinr.types', 'hyperinr.weights')
UNIONS = (Union, types.UnionType)
WORDS = {
    int: 'a whole number of 32 bits',
    float: 'a finite number of 32 bits',
    bool: 'True or False',
    str: 'a string',
    os.PathLike: 'a path',
    type(None): 'None',
    jax.Array: 'an array of real numbers',
    np.ndarray: 'an array of real numbers',
}


def checked(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return ``function``, raising `InputError` for an argument that does not meet its annotation."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            bound = signature.bind(*args, **kwargs).arguments
        except TypeError:
            bound = {}  # Python says what is missing.
        for name, value in bound.items():
            if words := needed(signature.parameters[name], value):
                raise InputError(f'{function.__qualname__}: {name} must be {words}, not {shown(value)}.')
        return function(*args, **kwargs)

    return wrapper


def needed(parameter: inspect.Parameter, value: Any, meets: Meets = lambda annotation, value: None) -> str | None:
    """Return in words what the parameter needs, if it cannot take a value; else ``None``.

    Args:
      parameter: its annotation says what it takes; anything where there is none, or one of another kind.
      value: the value.
      meets: asked first, at each level of a structure.

    Example:
      >>> def siren(*, width: int): ...
      >>> needed(inspect.signature(siren).parameters['width'], 32.5)
      'a whole number of 32 bits'
    """
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return None
    if not _meets(parameter.annotation, value, meets):
        return _in_words(parameter.annotation)
    if parameter.name in ('seed', 'seeds') and any(int(seed) < 0 for seed in np.ravel(value) if not callable(seed)):
        return 'at least 0'
    return None


def shown(value: Any) -> str:
    """Return a value in a few words on one line."""
    if isinstance(value, jax.Array | np.ndarray):
        return f'an array {value.dtype}{list(value.shape)}'
    return ' '.join(reprlib.repr(value).split())


def _meets(annotation: Any, value: Any, first: Meets) -> bool:
    answer = first(annotation, value)
    if answer is not None:
        return answer
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return any(_meets(argument, value, first) for argument in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (tuple, Sequence):
        is_array = isinstance(value, np.ndarray) and value.ndim > 0
        if isinstance(value, str | bytes) or not (is_array or isinstance(value, Sequence)):
            return False
        wanted = arguments if origin is tuple and arguments[1:] != (...,) else arguments[:1] * len(value)
        return len(value) == len(wanted) and all(_meets(*each, first) for each in zip(wanted, value, strict=True))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return False
        return all(_meets(arguments[0], key, first) and _meets(arguments[1], value[key], first) for key in value)
    if origin is Callable:
        return callable(value)
    if not isinstance(annotation, type) or annotation in (Any, inspect.Parameter.empty):
        return True
    if not _is_of(annotation, value):
        return False
    # Of a contract of `hyperinr.types`, the fields as well.
    fields = annotation.__annotations__ if hasattr(annotation, '_fields') and annotation.__module__ in CONTRACTS else {}
    return all(_meets(wanted, getattr(value, name), first) for name, wanted in fields.items())


def _is_of(kind: type, value: Any) -> bool:
    if isinstance(value, jax.core.Tracer):
        return kind in (jax.Array, np.ndarray, float)
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind in (int, float):
        real = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
        scalar = kind is float and isinstance(value, jax.Array | np.ndarray) and value.ndim == 0
        number = np.asarray(value)[()] if scalar else value
        whole = isinstance(number, int | np.integer)
        least, most = (INTEGERS.min, INTEGERS.max) if whole else (-MOST, MOST)
        return isinstance(number, real) and not isinstance(number, bool) and bool(least <= number <= most)
    if kind in (jax.Array, np.ndarray):
        if isinstance(value, ARRAYS):
            return jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key) or _is_real(value.dtype)
        return isinstance(value, float) or _is_of(int, value)
    if kind is os.PathLike:
        return isinstance(value, os.PathLike)
    return callable(value) if getattr(kind, '_is_protocol', False) else isinstance(value, kind)


def _is_real(kind: Any) -> bool:
    return any(jnp.issubdtype(kind, wanted) for wanted in (jnp.bool_, jnp.integer, jnp.floating))


def _in_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in WORDS:
        return WORDS[annotation]
    if origin in UNIONS:
        return ' or '.join(dict.fromkeys(_in_words(argument) for argument in arguments))
    if origin is Literal:
        return ' or '.join(map(repr, arguments))
    if origin is tuple and arguments[1:] != (...,):
        return f'{len(arguments)} values in brackets, each {_in_words(arguments[0])}'
    if origin in (tuple, Sequence):
        return f'a list or tuple, each entry {_in_words(arguments[0])}'
    if origin is Mapping:
        return f'a mapping of names to {_in_words(arguments[1]).replace("a mapping", "mappings")}'
    if origin is Callable:
        returned = arguments[1]
        return f'a function{f" that returns {_in_words(returned)}" if isinstance(returned, type) else ""}'
    name = getattr(annotation, '__name__', str(annotation))
    return f'{"an" if name[0] in "AEIOU" else "a"} {name}'
