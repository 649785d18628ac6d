"""Check the values that gin binds against the annotations of their parameters, before any factory is called.

Where a parameter takes a function or the result of one, a reference is needed, and its target must return what is asked
for: a called reference ``@f()`` in place of a value, ``@f`` in place of a function.
"""

import ast
import inspect
from collections.abc import Callable
from typing import Any, get_args, get_origin

from hyperinr import annotations
from hyperinr.config.values import Reference, leaves

__all__ = ['is_literal', 'needed']


def needed(parameter: inspect.Parameter, value: Any) -> str | None:
    """Return in words what the parameter needs, if it cannot take a bound value; else ``None``.

    Args:
      parameter: see `hyperinr.annotations.needed`.
      value: literals, references, and sequences and mappings of them. Macros are replaced by their values.
    """
    words = annotations.needed(parameter, value, _meets)
    if words is not None:
        return words
    literals = [leaf for leaf in leaves(value) if not isinstance(leaf, Reference)]
    if not all(is_literal(leaf) and _is_text(leaf) for leaf in literals):
        return 'of finite numbers and of text in UTF-8 without NUL'
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


def _meets(annotation: Any, value: Any) -> bool | None:
    """Tell whether a reference meets an annotation; ``None`` for a literal and for a structure."""
    is_function = get_origin(annotation) is Callable
    if not isinstance(value, Reference):
        return False if is_function else None
    if is_function:
        return value.called or _related(get_args(annotation)[1], _returned(value))
    if isinstance(annotation, type):
        return annotation in (Any, inspect.Parameter.empty) or (value.called and _related(annotation, _returned(value)))
    return None


def _returned(reference: Reference) -> Any:
    function = reference.target.function
    return function if isinstance(function, type) else inspect.signature(function).return_annotation


def _related(wanted: Any, returned: Any) -> bool:
    """Tell whether a result may be of the wanted type: unknown types may, and two classes if one is the other's."""
    if not (isinstance(wanted, type) and isinstance(returned, type)) or inspect.Signature.empty in (wanted, returned):
        return True
    return issubclass(returned, wanted) or issubclass(wanted, returned)
