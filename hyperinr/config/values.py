"""The parts of a configuration, and its canonical text."""

import dataclasses
import itertools
import pathlib
import pprint
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from hyperinr.errors import InputError

__all__ = [
    'Config',
    'Macro',
    'Reference',
    'Setting',
    'Target',
    'alias_of',
    'leaves',
    'mapped',
    'substitute',
    'canonical_text',
]


@dataclasses.dataclass(frozen=True)
class Target:
    """A function or class named by bindings: ``function`` is ``module.name``, written ``alias.name`` in the text."""

    module: str
    name: str
    alias: str
    function: Callable[..., Any]

    def __repr__(self) -> str:
        return f'{self.alias}.{self.name}'


@dataclasses.dataclass(frozen=True)
class Reference:
    """A reference ``@scope/target`` or, called, ``@scope/target()``."""

    scope: str
    target: Target
    called: bool

    def __repr__(self) -> str:
        return f'@{self.scope}{"/" if self.scope else ""}{self.target!r}{"()" if self.called else ""}'


@dataclasses.dataclass(frozen=True)
class Macro:
    """A macro ``%NAME``."""

    name: str

    def __repr__(self) -> str:
        return f'%{self.name}'


class Setting(NamedTuple):
    """A resolved value.

    Attributes:
      name: a parameter such as ``'siren.width'``, or a macro such as ``'NUM_STEPS'``.
      value: a literal, or a structure of literals, references and macros.
      where: ``'inr/siren.gin:5'``, ``'-p'`` or ``'default'``.
    """

    name: str
    value: Any
    where: str


class Config(NamedTuple):
    """A configuration that has been read and checked. It does not change gin's state.

    Attributes:
      source: its file.
      text: complete and canonical gin text; reading it gives the same configuration.
      settings: macros, then parameters in the order in which `experiment` reaches them.
    """

    source: pathlib.Path
    text: str
    settings: tuple[Setting, ...]

    def value(self, name: str) -> Any:
        """Return the value of the setting ``name``, with macros replaced by their values.

        Raises:
          KeyError: there is no such setting.
        """
        values = {setting.name: setting.value for setting in self.settings}
        return substitute(values[name], values)


def alias_of(module: str, targets: Iterable[Target]) -> str:
    """Return the name of a module in a text: its last part, with a number if another module of ``targets`` has it."""
    last = module.rpartition('.')[2]
    others = {target.alias for target in targets if target.module != module}
    aliases = itertools.chain([last], (f'{last}{number}' for number in itertools.count(2)))
    return next(each for each in aliases if each not in others)


def canonical_text(order: Iterable[Target], settings: Iterable[Setting]) -> str:
    """Return the canonical gin text of ``settings``."""
    imports = {}
    for target in order:
        package, _, last = target.module.rpartition('.')
        statement = f'from {package} import {last}' if package else f'import {last}'
        imports[target.module] = statement if last == target.alias else f'{statement} as {target.alias}'
    lines = ['from __gin__ import dynamic_registration', *(imports[module] for module in sorted(imports))]
    for _, owned in itertools.groupby(settings, lambda setting: setting.name.rpartition('.')[0]):
        lines.append('')
        for setting in owned:
            value = pprint.pformat(setting.value, width=96, compact=True, sort_dicts=False)
            lines += f'{setting.name} = {value}'.split('\n') if '\n' not in value else [f'{setting.name} = \\', value]
    return '\n'.join(lines) + '\n'


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure with ``function`` applied to its leaves."""
    if isinstance(value, Mapping):
        try:
            return {mapped(key, function): mapped(item, function) for key, item in value.items()}
        except TypeError:
            raise InputError(f'a mapping of the config has a list or a mapping as its key: {value!r:.100}.') from None
    if isinstance(value, list | tuple):
        return type(value)(mapped(item, function) for item in value)
    return function(value)


def leaves(value: Any) -> list[Any]:
    """Return the literals, references and macros of a structure."""
    found: list[Any] = []
    mapped(value, found.append)
    return found


def substitute(value: Any, values: Mapping[str, Any]) -> Any:
    """Return ``value`` with every macro that has a value replaced by it."""
    known = lambda leaf: isinstance(leaf, Macro) and leaf.name in values
    return mapped(value, lambda leaf: substitute(values[leaf.name], values) if known(leaf) else leaf)
