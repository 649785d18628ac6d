"""The space of a search: a range or choices for each binding of a config, optionally under a condition.

A *draw* is ``{binding: value}`` of its active parameters. A parameter with a condition is active only in draws where
another parameter has certain values: the frequency of a family, for example, only if that family is chosen.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    'KINDS',
    'Draw',
    'Parameter',
    'Space',
    'bindings',
    'boundary_draws',
    'draw',
    'grid',
    'parameter',
    'shown',
    'space',
    'stored',
]

KINDS = ('log', 'uniform', 'integer', 'choice')
GRID_POINTS = 3
"""Grid points of a range without a given number."""

Draw = Mapping[str, Any]


class Parameter(NamedTuple):
    """One binding and its range or choices. `parameter` makes it.

    Attributes:
      binding: ``'siren.omega_0'``, or a macro such as ``'NUM_STEPS'``.
      kind: one of `KINDS`.
      values: ``(low, high)``, both included, or the choices.
      points: grid points of a range.
      when: binding of an earlier parameter -> values under which this one is active; all must hold. Empty: always.
    """

    binding: str
    kind: str
    values: tuple
    points: int
    when: Mapping[str, tuple]

    def active(self, drawn: Draw) -> bool:
        """Return whether the parameter is active after the earlier draws."""
        return all(name in drawn and drawn[name] in allowed for name, allowed in self.when.items())

    def grid_values(self) -> list[Any]:
        """Return all choices, or ``points`` values over the range, evenly spaced (``'log'``: in the logarithm)."""
        if self.kind == 'choice':
            return list(self.values)
        low, high = self.values
        if self.kind == 'integer':
            return sorted({round(each) for each in np.linspace(low, high, self.points)})
        spaced = np.geomspace if self.kind == 'log' else np.linspace
        # Keep the given ends: rounding must not leave the range.
        return [low, *(float(each) for each in spaced(low, high, self.points)[1:-1]), high]


Space = tuple[Parameter, ...]


def parameter(
    binding: str,
    kind: str,
    values: Sequence[Any],
    *,
    points: int = GRID_POINTS,
    when: Mapping[str, Sequence[Any]] | None = None,
) -> Parameter:
    """Make a checked `Parameter`.

    Args:
      binding: binding of the config.
      kind: ``'uniform'``, ``'log'`` (uniform in the logarithm), ``'integer'`` or ``'choice'``.
      values: ``(low, high)`` with low < high, > 0 for ``'log'``; or at least one choice. A choice that begins with
        ``@`` or ``%`` is a reference or a macro of gin.
      points: grid points, >= 2.
      when: the condition, see `Parameter`.

    Raises:
      ValueError: the kind is unknown, the range is empty, or another value is not as described.
    """
    drawn = f'space[{binding!r}] = {(kind, *values)!r}'
    if kind not in KINDS:
        raise ValueError(f'{drawn} must begin with one of {", ".join(KINDS)}.')
    types = {int} if kind == 'integer' else {int, float}
    numbers = len(values) == 2 and {type(value) for value in values} <= types
    fine = len(values) > 0 if kind == 'choice' else numbers and values[0] < values[1]
    if not fine or (kind == 'log' and values[0] <= 0):
        raise ValueError(f'{drawn} is no range: give (kind, low, high) with low < high, or choices.')
    if points < 2:
        raise ValueError(f'{drawn} needs points >= 2, not {points}.')
    conditions = {name: tuple(allowed) for name, allowed in (when or {}).items()}
    return Parameter(binding, kind, tuple(values), points, conditions)


def space(parameters: Sequence[Parameter]) -> Space:
    """Make a checked `Space`.

    Raises:
      ValueError: there is no parameter, or a condition names no earlier parameter or can never hold.
    """
    if not parameters:
        raise ValueError("space is empty; give bindings, e.g. {'adam.learning_rate': ('log', 1e-4, 1e-1)}.")
    before: dict[str, Parameter] = {}
    for each in parameters:
        for name, allowed in each.when.items():
            if name not in before:
                known = f'one of {", ".join(before)}' if before else 'there is none'
                raise ValueError(f'{each.binding} depends on {name!r}, which must be an earlier parameter: {known}.')
            parent = before[name]
            impossible = [value for value in allowed if parent.kind == 'choice' and value not in parent.values]
            if parent.kind not in ('choice', 'integer') or impossible or not allowed:
                raise ValueError(
                    f'{each.binding} depends on {name} being one of {list(allowed)!r}, which it never is: it is drawn '
                    f'from {parent.kind} {list(parent.values)!r}.'
                )
        before[each.binding] = each
    return tuple(parameters)


def draw(trial: Any, parameters: Space) -> dict[str, Any]:
    """Return the draw of an Optuna trial. Optuna gets the position of a choice, since it stores only scalars."""
    drawn: dict[str, Any] = {}
    for each in parameters:
        if not each.active(drawn):
            continue
        if each.kind == 'choice':
            value = each.values[trial.suggest_categorical(each.binding, list(range(len(each.values))))]
        elif each.kind == 'integer':
            value = trial.suggest_int(each.binding, *each.values)
        else:
            value = trial.suggest_float(each.binding, *each.values, log=each.kind == 'log')
        drawn[each.binding] = value
    return drawn


def stored(drawn: Draw, parameters: Space) -> dict[str, Any]:
    """Return a draw as Optuna stores it, with positions in place of choices."""
    kinds = {each.binding: each for each in parameters}
    return {
        name: kinds[name].values.index(value) if kinds[name].kind == 'choice' else value
        for name, value in drawn.items()
    }


def grid(parameters: Space) -> list[dict[str, Any]]:
    """Return every combination of the parameters' grid values. Conditional parameters appear only where active."""
    draws: list[dict[str, Any]] = [{}]
    for each in parameters:
        choices = [{each.binding: value} for value in each.grid_values()]
        draws = [{**drawn, **choice} for drawn in draws for choice in (choices if each.active(drawn) else [{}])]
    return draws


def boundary_draws(parameters: Space) -> Iterator[tuple[Parameter, dict[str, Any]]]:
    """Yield a draw for each choice, or for each end of the range, of every parameter.

    The other parameters have the values that its condition needs, or else their first values.
    """
    known = {each.binding: each for each in parameters}

    def needed(each: Parameter) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parent, allowed in each.when.items():
            found |= {**needed(known[parent]), parent: allowed[0]}
        return found

    for each in parameters:
        for value in each.values:
            wanted = {**needed(each), each.binding: value}
            drawn: dict[str, Any] = {}
            for other in parameters:
                if other.active(drawn):
                    drawn[other.binding] = wanted.get(other.binding, other.values[0])
            yield each, drawn


def bindings(drawn: Draw) -> list[str]:
    """Return a draw as config overrides: ``['adam.learning_rate = 0.003', 'experiment.inr = @inrs.finer', ...]``."""
    return [f'{name} = {_gin(value)}' for name, value in drawn.items()]


def _gin(value: Any) -> str:
    return value if isinstance(value, str) and value[:1] in ('@', '%') else repr(value)


def shown(drawn: Draw) -> str:
    """Return a draw as readable text, with numbers to four digits."""
    return ', '.join(
        f'{name} = {value:.4g}' if isinstance(value, float) else f'{name} = {_gin(value)}'
        for name, value in drawn.items()
    )
