"""Describe parts that were put together in Python as gin text: factories by their importable names, with literals.

A part is a factory or a `functools.partial` of one. An argument may itself be a factory, or a partial of one: it is
called if all its arguments are keyword-only and have values, as gin calls ``@factory()``. Any other function is passed
as it is.
"""

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from hyperinr.config.annotations import is_literal
from hyperinr.config.values import Reference, Setting, Target, alias_of, canonical_text
from hyperinr.training import in_python
from hyperinr.training.experiment import experiment

__all__ = ['describe']

Factory = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class _Part:
    """A factory with its arguments: literals, `_Part`s, and lists, tuples and dictionaries of them."""

    function: Factory
    module: str
    name: str
    arguments: Mapping[str, Any]
    called: bool
    path: str = dataclasses.field(compare=False)


class _NoNameError(Exception):
    """A part has no importable name, or an argument is no literal."""


def describe(parts: Mapping[str, Factory], beside: Collection[Factory] = ()) -> tuple[str, dict[str, Factory]]:
    """Return the gin text that binds the arguments of `experiment`, and the parts that the text cannot name.

    In the text a placeholder of `hyperinr.training.in_python` takes the place of such a part. Where one factory has
    several uses with other arguments, those after the first are in a scope of their own.

    Args:
      parts: factories by the argument of `experiment`.
      beside: factories of other parts that the text will be read with; they keep their arguments.

    Example:
      >>> from hyperinr import inrs
      >>> text, unnamed = describe({'inr': functools.partial(inrs.siren, width=32)})
      >>> print(text.partition('experiment.experiment')[2])
      .inr = @inrs.siren
      <BLANKLINE>
      inrs.siren.width = 32
      <BLANKLINE>
    """
    read, unnamed = {}, {}
    for argument, part in parts.items():
        try:
            read[argument] = _read(part, argument, called=False)
        except _NoNameError:
            unnamed[argument] = _with_results(part)
            placeholder = functools.partial(getattr(in_python, argument), origin=_origin(part))
            read[argument] = _read(placeholder, argument, called=False)
    uses = _Uses(beside)
    root = Target(experiment.__module__, experiment.__name__, 'experiment', experiment)
    uses.targets[id(experiment)] = root
    bound = {argument: uses.reference(part) for argument, part in read.items()}
    own = [Setting(f'{root!r}.{argument}', reference, '') for argument, reference in bound.items()]
    return canonical_text(uses.targets.values(), own + uses.settings), unnamed


class _Uses:
    """Collector of the targets and bindings of parts."""

    def __init__(self, beside: Collection[Factory]) -> None:
        self.targets: dict[int, Target] = {}
        self.settings: list[Setting] = []
        self._arguments: dict[tuple[str, Factory], Mapping[str, Any]] = {('', each): {} for each in beside}

    def reference(self, part: _Part) -> Reference:
        """Return a reference to a part, after binding its arguments."""
        alias = alias_of(part.module, self.targets.values())
        target = self.targets.setdefault(id(part.function), Target(part.module, part.name, alias, part.function))
        scope, arguments, number = '', part.arguments, 1
        while self._arguments.get((scope, part.function), arguments) != arguments:
            scope, number = f'{part.path}{number if number > 1 else ""}', number + 1
            # A binding without a scope would hold in this one too.
            arguments = {**_defaults(part.function), **part.arguments}
        if (scope, part.function) not in self._arguments:
            self._arguments[scope, part.function] = arguments
            values = {name: _mapped(value, self._written) for name, value in arguments.items()}
            owner = f'{scope}{"/" if scope else ""}{target!r}'
            self.settings += [Setting(f'{owner}.{name}', value, '') for name, value in values.items()]
        return Reference(scope, target, part.called)

    def _written(self, leaf: Any) -> Any:
        return self.reference(leaf) if isinstance(leaf, _Part) else leaf


def _read(part: Any, path: str, *, called: bool) -> _Part:
    """Return a factory or a partial as a `_Part`.

    Raises:
      _NoNameError: it has no importable name, or one of its arguments is no literal.
    """
    function, positional, keywords = _taken_apart(part)
    if positional or _parameters(function) is None:
        raise _NoNameError
    module, name = _importable(function)
    arguments = {
        each: _mapped(value, functools.partial(_leaf, path=f'{path}_{each}')) for each, value in keywords.items()
    }
    return _Part(function, module, name, arguments, called, path)


def _leaf(value: Any, path: str) -> Any:
    if inspect.isroutine(value) or isinstance(value, functools.partial):
        return _read(value, path, called=_is_called(value))
    plain = value.item() if isinstance(value, np.generic) else value
    plain = os.fspath(plain) if isinstance(plain, os.PathLike) else plain
    if not is_literal(plain):
        raise _NoNameError
    return plain


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to the leaves of lists, tuples and dictionaries; a NamedTuple is a leaf."""
    if type(value) in (list, tuple):
        return type(value)(_mapped(each, function) for each in value)
    if type(value) is dict:
        return {key: _mapped(each, function) for key, each in value.items()}
    return function(value)


def _taken_apart(part: Any) -> tuple[Factory, tuple, Mapping[str, Any]]:
    return (part.func, part.args, part.keywords) if isinstance(part, functools.partial) else (part, (), {})


def _is_called(part: Factory) -> bool:
    """Tell whether an argument stands for the result of a factory: it lacks nothing but keyword arguments."""
    function, positional, keywords = _taken_apart(part)
    parameters = _parameters(function)
    if parameters is None or positional:
        return False
    kinds = {parameter.kind for parameter in parameters}
    lacking = [each.name for each in parameters if each.default is each.empty and each.name not in keywords]
    return kinds <= {inspect.Parameter.KEYWORD_ONLY} and not lacking


def _with_results(part: Any) -> Any:
    """Return a part with the results of the factories among its arguments, as gin would pass them."""
    if not isinstance(part, functools.partial):
        return part

    def passed(leaf: Any) -> Any:
        if inspect.isroutine(leaf) or isinstance(leaf, functools.partial):
            return _with_results(leaf)() if _is_called(leaf) else _with_results(leaf)
        return leaf

    keywords = {name: _mapped(value, passed) for name, value in part.keywords.items()}
    return functools.partial(part.func, *part.args, **keywords)


def _importable(function: Factory) -> tuple[str, str]:
    """Return module and name under which a function is imported, in the package highest up that has it.

    Raises:
      _NoNameError: there is none, or only in the program that runs.
    """
    module, name = getattr(function, '__module__', None), getattr(function, '__qualname__', '')
    if not module or module == '__main__' or _attribute(module, name) is not function:
        raise _NoNameError
    packages = [each for each in _packages(module) if each != 'hyperinr' and _attribute(each, name) is function]
    return packages[0], name


def _packages(module: str) -> Iterator[str]:
    parts = module.split('.')
    return ('.'.join(parts[:end]) for end in range(1, len(parts) + 1))


def _attribute(module: str, name: str) -> Any:
    value: Any = sys.modules.get(module)
    for part in name.split('.'):
        value = getattr(value, part, None)
    return value


def _parameters(function: Factory) -> list[inspect.Parameter] | None:
    """Return the parameters of a function; ``None`` for one written in C that does not tell them."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _defaults(function: Factory) -> dict[str, Any]:
    return {each.name: each.default for each in _parameters(function) or () if is_literal(each.default)}


def _origin(part: Any) -> str:
    function = _taken_apart(part)[0]
    return f'{getattr(function, "__module__", "?")}.{getattr(function, "__qualname__", type(function).__name__)}'
