"""Read gin files and overrides, and check every name in them."""

import dataclasses
import graphlib
import importlib
import inspect
import io
import pathlib
import pkgutil
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from gin import config_parser

from hyperinr.annotations import shown
from hyperinr.config import trust
from hyperinr.config.annotations import is_literal, needed
from hyperinr.config.names import config_root, configs_of, display, either, find, nearest
from hyperinr.config.values import (
    Config,
    Macro,
    Reference,
    Setting,
    Target,
    alias_of,
    canonical_text,
    leaves,
    mapped,
    substitute,
)
from hyperinr.errors import InputError

__all__ = ['load_config', 'load_text']

COMMAND_LINE, DEFAULT = '-p', 'default'
REQUIRED = 'gin.REQUIRED'
MOST_MACROS = 200
"""Macros that one may refer to, directly and through others."""
LONGEST = 120
"""Characters of a binding in messages."""


def load_config(
    name: str,
    bindings: Sequence[str] = (),
    *,
    also: Sequence[str] = (),
    trusted: bool = True,
    allow_unused: bool = False,
) -> Config:
    """Read a config with its includes, override it, and check every name in it. Gin's state stays unchanged.

    Args:
      name: see `find`.
      bindings: overrides such as ``'siren.width = 32'`` or ``'NUM_STEPS=100'``, applied last. Leading module names of a
        target may be left out if the rest is unique.
      also: configs to read after ``name`` and before the bindings.
      trusted: False for a config that may be another person's: it may name only the parts of hyperinr, `trust`. A
        trusted config may import any module, also of the working folder.
      allow_unused: whether bindings of parts that the config does not use are ignored, not refused.

    Raises:
      InputError: a file, module, function, parameter or macro is unknown (the message suggests the nearest), the syntax
        is wrong, a binding has no effect, or a required value is missing; or a config that is not trusted names
        something else than parts of hyperinr.
    """
    path = find(name)
    reader = _Reader(trusted, allow_unused)
    for each in (path, *(find(name) for name in also)):
        reader.read_file(each, ())
    for binding in bindings:
        reader.read_override(binding)
    return reader.resolve(path)


def load_text(text: str, bindings: Sequence[str] = (), *, name: str = 'config.gin', trusted: bool = True) -> Config:
    """Read the canonical text of a config and override it, as `load_config` does with a file.

    Args:
      text: the text.
      bindings: see `load_config`.
      name: its origin, for messages.
      trusted: see `load_config`.

    Raises:
      InputError: see `load_config`.
    """
    reader = _Reader(trusted)
    reader.read(text, name, pathlib.Path(name), ())
    for binding in bindings:
        reader.read_override(binding)
    return reader.resolve(pathlib.Path(name))


@dataclasses.dataclass(frozen=True)
class _Unresolved:
    """A reference whose name has not been looked up."""

    name: str
    called: bool


class _Delegate(config_parser.ParserDelegate):
    """Factory of references and macros for gin's parser."""

    configurable_reference = _Unresolved
    macro = Macro


class _Reader:
    """Collector of the statements in files and overrides, which it then resolves."""

    def __init__(self, trusted: bool, allow_unused: bool = False) -> None:
        self.trusted, self.allow_unused = trusted, allow_unused
        self.targets: dict[int, Target] = {}
        self.modules: dict[str, ModuleType] = {}
        self.bindings: dict[tuple[str, Target, str], tuple[Any, str]] = {}
        self.macros: dict[str, tuple[Any, str]] = {}
        self.uses: list[tuple[str, str]] = []

    def read_file(self, path: pathlib.Path, including: tuple[pathlib.Path, ...]) -> None:
        """Read ``path`` and its includes; ``including`` are the files that include it."""
        name = display(path)
        if path.resolve() in including:
            raise InputError(f'{name} includes itself: remove that include.')
        try:
            text = path.read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f'config {name} cannot be read: {error}.') from None
        self.read(text, name, path, including)

    def read(self, text: str, name: str, path: pathlib.Path, including: tuple[pathlib.Path, ...]) -> None:
        """Read the text of the file ``path``, called ``name`` in messages, and its includes."""
        symbols: dict[str, ModuleType] = {}
        for statement, where in self._statements(text, name):
            if isinstance(statement, config_parser.IncludeStatement):
                if not self.trusted:
                    trust.check_include(statement.filename, where)
                folders = [path.parent, config_root(), pathlib.Path()]
                found = find(statement.filename, folders=folders, where=f'{where}: ')
                self.read_file(found, (*including, path.resolve()))
            elif isinstance(statement, config_parser.ImportStatement):
                self._import(statement, symbols, where)
            elif isinstance(statement, config_parser.BindingStatement):
                self._bind(statement, symbols, where)

    def read_override(self, text: str) -> None:
        """Read one binding of the command line, which may use all imports and macros of the files."""
        where = f'{COMMAND_LINE} {_short(text)}'
        hint = ' (write NAME=VALUE, the value as in Python: strings in quotes, e.g. -p "image_folder.path=\'photos\'")'
        for statement, _ in self._statements(text, where, hint):
            if not isinstance(statement, config_parser.BindingStatement):
                raise InputError(f'{where}: only bindings are allowed here{hint}.')
            self._bind(statement, self.modules, where)

    def resolve(self, source: pathlib.Path) -> Config:
        """Check what depends on all statements together, and return the ordered configuration."""
        self._check_macros()
        if not self.trusted:
            self._check_parts()
        order = self._reachable()
        for (_, target, _), (_, where) in self.bindings.items():
            if where.startswith(f'{COMMAND_LINE} ') and target not in order and not self.allow_unused:
                raise InputError(f'{where}: this config does not use {target!r}, so the binding has no effect.')
        values = [setting for target in order for setting in self._settings_of(target)]
        settings = [*self._used_macros(values), *values]
        for setting in settings:
            if Macro(REQUIRED) in leaves(setting.value):
                raise InputError(f'{setting.where}: {setting.name} must be set, e.g. {COMMAND_LINE} {setting.name}=...')
        self._check_values(order)
        return Config(source, canonical_text(order, settings), tuple(settings))

    def _statements(self, text: str, name: str, hint: str = '') -> Iterator[tuple[Any, str]]:
        try:
            for statement in config_parser.ConfigParser(io.StringIO(text), _Delegate()):
                yield statement, name if hint else f'{name}:{statement.location.line_num}'
        except RecursionError:
            raise InputError(f'{name}: a value is nested too deeply; give one with fewer brackets.') from None
        except TypeError as error:  # a list as a key
            raise InputError(f'{name}: cannot read a value ({error}){hint}.') from None
        except (SyntaxError, tokenize.TokenError) as error:
            line = error.lineno if isinstance(error, SyntaxError) else error.args[1][0]
            position = name if hint or line is None else f'{name}:{line}'
            reason = ' '.join(str(error.args[0]).split()).rstrip('.')
            token = re.search(r"Failed to parse token ('.*')", reason)
            reason = f'cannot read the value {token[1]}' if token else reason
            reason = _short(reason)
            raise InputError(f'{position}: {reason}{hint}.') from None

    def _import(self, statement: config_parser.ImportStatement, symbols: dict[str, ModuleType], where: str) -> None:
        if statement.module.startswith('__gin__.'):
            return
        if not self.trusted:
            trust.check_module(statement.module, where)
        try:
            with trust.working_folder(statement.module):
                module = importlib.import_module(statement.module)
        except ModuleNotFoundError as error:
            if not (error.name and f'{statement.module}.'.startswith(f'{error.name}.')):
                raise InputError(f'{where}: importing {statement.module!r} failed: {error}.') from None
            parent, _, last = error.name.rpartition('.')
            remedy = f': run this in the folder of {last}.py, name that folder in PYTHONPATH, or install it.'
            if parent:
                siblings = getattr(importlib.import_module(parent), '__path__', ())
                remedy = nearest(last, [info.name for info in pkgutil.iter_modules(siblings)])
            raise InputError(f'{where}: no module {error.name!r}{remedy}') from None
        plain = not (statement.is_from or statement.alias)
        symbol = statement.module if plain else statement.bound_name()
        symbols[symbol] = self.modules[symbol] = module

    def _bind(self, statement: config_parser.BindingStatement, symbols: Mapping[str, ModuleType], where: str) -> None:
        def resolved(leaf: Any) -> Any:
            if not isinstance(leaf, _Unresolved):
                return leaf
            scope, _, selector = leaf.name.rpartition('/')
            return Reference(scope, self._target(selector, symbols, where), leaf.called)

        value = mapped(statement.value, resolved)
        self.uses += [(leaf.name, where) for leaf in leaves(value) if isinstance(leaf, Macro)]
        if not statement.arg_name:
            name = f'{statement.scope}/{statement.selector}'.lstrip('/')
            self.macros[name] = (value, where)
            return
        target = self._target(statement.selector, symbols, where)
        parameters = inspect.signature(target.function).parameters
        open_ended = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
        if statement.arg_name not in parameters and not open_ended:
            remedy = nearest(
                statement.arg_name, list(parameters), fallback=f'; it has {", ".join(parameters) or "none"}.'
            )
            raise InputError(f'{where}: {target!r} has no parameter {statement.arg_name!r}{remedy}')
        self.bindings[statement.scope, target, statement.arg_name] = (value, where)

    def _target(self, selector: str, symbols: Mapping[str, ModuleType], where: str) -> Target:
        for symbol in sorted(symbols, key=len, reverse=True):
            if selector.startswith(f'{symbol}.'):
                return self._attribute(symbols[symbol], selector[len(symbol) + 1 :], where)
        if symbols is self.modules:
            known = list(self.targets.values())
            near = [target for target in known if f'.{target.module}.{target.name}'.endswith(f'.{selector}')]
            if len(near) == 1:
                return near[0]
            if near:
                raise InputError(
                    f'{where}: {selector!r} may be {either([repr(target) for target in near])}: say which.'
                )
            names = [repr(target) for target in known] + [target.name for target in known]
            remedy = nearest(selector, names)
            if users := configs_of(selector):
                remedy = f"; give a gin file of two lines: include this config, then include '{users[0]}'."
            raise InputError(f'{where}: no configurable {selector!r} in this config{remedy}')
        head = selector.partition('.')[0]
        remedy = nearest(head, list(symbols), fallback=f'; import it first: `from hyperinr import {head}`.')
        raise InputError(f'{where}: {selector!r}: {head!r} is not imported in this file{remedy}')

    def _attribute(self, module: ModuleType, name: str, where: str) -> Target:
        value: Any = module
        for part in name.split('.'):
            if not hasattr(value, part):
                public = getattr(value, '__all__', None) or [item for item in dir(value) if not item.startswith('_')]
                owner = getattr(value, '__name__', module.__name__)
                raise InputError(f'{where}: {owner} has no {part!r}{nearest(part, list(public))}')
            value = getattr(value, part)
        try:
            inspect.signature(value)
        except (TypeError, ValueError):  # no function, or one written in C
            raise InputError(f'{where}: {module.__name__}.{name} is not a function with bindable parameters.') from None
        known = self.targets.get(id(value))
        if known is None:
            alias = alias_of(module.__name__, self.targets.values())
            known = self.targets[id(value)] = Target(module.__name__, name, alias, value)
        return known

    def _check_parts(self) -> None:
        """Check the names in a config that is not trusted."""
        for (_, target, _), (_, where) in self.bindings.items():
            trust.check_bound(target, where)
        for value, where in (*self.bindings.values(), *self.macros.values()):
            for leaf in leaves(value):
                if isinstance(leaf, Reference):
                    trust.check_part(leaf.target, where, called=leaf.called)

    def _check_macros(self) -> None:
        for name, where in self.uses:
            if name not in self.macros and name != REQUIRED:
                raise InputError(f'{where}: macro %{name} has no value{nearest(name, list(self.macros))}')
        used = {name for name, _ in self.uses}
        for name, (_, where) in self.macros.items():
            if name not in used:
                remedy = nearest(name, sorted(used - {REQUIRED}), fallback='; remove it.')
                raise InputError(f'{where}: nothing refers to a macro {name!r}{remedy}')

        graph = {
            name: [leaf.name for leaf in leaves(value) if isinstance(leaf, Macro)]
            for name, (value, _) in self.macros.items()
        }
        try:
            order = list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            name = error.args[1][0]
            raise InputError(f'{self.macros[name][1]}: macro {name} refers to itself.') from None
        sizes: dict[str, int] = {}
        for name in order:
            sizes[name] = 1 + sum(sizes.get(other, 1) for other in graph.get(name, ()))
            if sizes[name] > MOST_MACROS:
                raise InputError(f'{self.macros[name][1]}: macro {name} stands for more than {MOST_MACROS} others.')

    def _check_values(self, order: Sequence[Target]) -> None:
        macros = {name: value for name, (value, _) in self.macros.items()}
        for (_, target, name), (bound, where) in self.bindings.items():
            if target in order:
                value, parameters = substitute(bound, macros), inspect.signature(target.function).parameters
                words = needed(parameters[name], value) if name in parameters else None
                if words is not None:
                    where = self.macros[bound.name][1] if isinstance(bound, Macro) else where
                    raise InputError(f'{where}: {target!r}.{name} must be {words}, not {shown(value)}.')

    def _used_macros(self, settings: Sequence[Setting]) -> list[Setting]:
        """Return the macros that the settings refer to, by name; another that a file binds was overridden."""
        waiting = [setting.value for setting in settings]
        used: set[str] = set()
        while waiting:
            names = {leaf.name for leaf in leaves(waiting.pop()) if isinstance(leaf, Macro) and leaf.name != REQUIRED}
            waiting += [self.macros[name][0] for name in names - used]
            used |= names
        return [Setting(name, *self.macros[name]) for name in sorted(used)]

    def _reachable(self) -> list[Target]:
        """Return the targets that the entry points reach by references, in the order of a walk from the first."""
        order: list[Target] = []
        macros = {name: value for name, (value, _) in self.macros.items()}
        known = {f'{target.module}.{target.name}': target for target in self.targets.values()}

        def visit(target: Target, above: tuple[Target, ...] = ()) -> None:
            if target in order:
                return
            order.append(target)
            for (_, owner, _), (value, where) in self.bindings.items():
                if owner == target:
                    for leaf in leaves(substitute(value, macros)):
                        if isinstance(leaf, Reference):
                            if leaf.target in (*above, target):
                                raise InputError(f'{where}: {leaf.target!r} would be an argument of itself.')
                            visit(leaf.target, (*above, target))

        for name in trust.ENTRY_POINTS:
            if name in known:
                visit(known[name])
        return order

    def _settings_of(self, target: Target) -> Iterator[Setting]:
        for parameter in inspect.signature(target.function).parameters.values():
            found = sorted(
                (scope, *entry)
                for (scope, owner, name), entry in self.bindings.items()
                if owner == target and name == parameter.name
            )
            if '' not in [scope for scope, *_ in found] and is_literal(parameter.default):
                found.insert(0, ('', parameter.default, DEFAULT))
            for scope, value, where in found:
                yield Setting(f'{scope}{"/" if scope else ""}{target!r}.{parameter.name}', value, where)


def _short(text: str) -> str:
    """Return ``text`` on one line, cut in its middle where it is long."""
    line = ' '.join(text.split())
    return line if len(line) <= LONGEST else f'{line[: LONGEST - 23]}...{line[-20:]}'
