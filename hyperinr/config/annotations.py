"""Check a bound value against the annotation of its parameter, before any factory is called with it.

A whole number has 32 bits and is never a bool, a seed is 0 or more, and other numbers are finite in float32. Where a
parameter takes a function or the result of one, a reference is needed, and its target must return what is asked for.
Ranges are checked by the factories.
"""

import ast
import inspect
import os
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from hyperinr.config.values import Reference, leaves

__all__ = ['is_literal', 'needed']

INTEGERS = np.iinfo(np.int32)
FLOATS = np.finfo(np.float32)
PLAIN = {bool: 'True or False', str: 'a string in quotes', type(None): 'None', os.PathLike: 'a path in quotes'}
UNIONS = (Union, types.UnionType)


def needed(parameter: inspect.Parameter, value: Any) -> str | None:
    """Return in words what the parameter needs, if it cannot take a value; else ``None``.

    Args:
      parameter: its annotation says what it takes; anything where there is none, or one that is not known here.
      value: literals, references, and sequences and mappings of them. Macros are replaced by their values.

    Example:
      >>> def siren(*, width: int): ...
      >>> needed(inspect.signature(siren).parameters['width'], 32.5)
      'a whole number'
    """
    literals = [leaf for leaf in leaves(value) if not isinstance(leaf, Reference)]
    if parameter.kind is not parameter.VAR_KEYWORD and not _fits(parameter.annotation, value):
        return _in_words(parameter.annotation)
    if not all(is_literal(leaf) and _is_text(leaf) for leaf in literals):
        return 'of finite numbers and of text in UTF-8 without NUL'
    if parameter.name in ('seed', 'seeds') and any(isinstance(leaf, int) and leaf < 0 for leaf in literals):
        return 'at least 0'
    return None


def is_literal(value: Any) -> bool:
    """Return whether gin can write ``value`` as text."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return b'\0' not in value.encode()
    except UnicodeEncodeError:
        return False


def _fits(annotation: Any, value: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return any(_fits(argument, value) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is Callable or (isinstance(annotation, type) and annotation not in (bool, int, float, str, type(None))):
        return _fits_reference(annotation, value)
    if isinstance(value, Reference):
        return not isinstance(annotation, type) or (value.called and _related(annotation, _returned(value)))
    if annotation is int:
        return type(value) is int and INTEGERS.min <= value <= INTEGERS.max
    if annotation is float:
        return type(value) in (int, float) and -FLOATS.max <= value <= FLOATS.max
    if annotation in (bool, str, type(None)):
        return type(value) is annotation
    if origin is tuple:
        if arguments[1:] == (...,):
            arguments = arguments[:1] * len(value) if isinstance(value, list | tuple) else arguments
        return isinstance(value, list | tuple) and len(value) == len(arguments) and all(map(_fits, arguments, value))
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(_fits(arguments[0], each) for each in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(
            _fits(arguments[0], k) and _fits(arguments[1], v) for k, v in value.items()
        )
    return True


def _fits_reference(annotation: Any, value: Any) -> bool:
    """Tell whether ``value`` refers to a function of the wanted kind, or to one whose result is wanted."""
    if annotation is os.PathLike:
        return _fits(str, value)
    if not isinstance(value, Reference):
        return False
    if get_origin(annotation) is not Callable:
        return value.called and _related(annotation, _returned(value))
    return value.called or _related(get_args(annotation)[1], _returned(value))


def _returned(reference: Reference) -> Any:
    function = reference.target.function
    return function if isinstance(function, type) else inspect.signature(function).return_annotation


def _related(wanted: Any, returned: Any) -> bool:
    """Tell whether a result may be of the wanted type: unknown types may, and two classes if one is the other's."""
    if not (isinstance(wanted, type) and isinstance(returned, type)) or returned is inspect.Signature.empty:
        return True
    return issubclass(returned, wanted) or issubclass(wanted, returned)


def _in_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return ' or '.join(dict.fromkeys(_in_words(argument) for argument in arguments))
    if origin is Literal:
        return ' or '.join(map(repr, arguments))
    if annotation is int:
        return 'a whole number'
    if annotation is float:
        return 'a finite number'
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is tuple:
        return f'{len(arguments)} values in brackets, each {_in_words(arguments[0])}'
    if origin is Sequence:
        return f'a list in brackets, each {_in_words(arguments[0])}'
    if origin is Mapping:
        return 'a dictionary'
    if origin is Callable:
        result = arguments[1]
        return (
            f'a reference @NAME to a function{f" that returns {_article(result)}" if isinstance(result, type) else ""}'
        )
    return (
        f'a reference @NAME() whose result is {_article(annotation)}'
        if isinstance(annotation, type)
        else 'another value'
    )


def _article(kind: type) -> str:
    return f'{"an" if kind.__name__[0] in "AEIOU" else "a"} {kind.__name__}'
