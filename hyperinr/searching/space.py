"""What a search draws from: a range or choices for each binding of a config, some of them under a condition.

A *draw* is ``{binding: value}`` of the parameters that are active in it. A parameter with a condition exists only in
draws where another one has certain values: the frequency of a family only where that family is chosen.
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
"""Of a range in a grid that does not say how many."""

Draw = Mapping[str, Any]


class Parameter(NamedTuple):
    """One binding and what its values are drawn from; made by `parameter`.

    Attributes:
      binding: ``'siren.omega_0'`` or a macro's ``'NUM_STEPS'``.
      kind: one of `KINDS`.
      values: ``(low, high)``, both included, or the choices.
      points: of a range in a grid.
      when: binding of an earlier parameter -> values under which this one exists; all must hold. Empty: always.
    """

    binding: str
    kind: str
    values: tuple
    points: int
    when: Mapping[str, tuple]

    def active(self, drawn: Draw) -> bool:
        """Whether it exists beside what was drawn before it."""
        return all(name in drawn and drawn[name] in allowed for name, allowed in self.when.items())

    def grid_values(self) -> list[Any]:
        """All choices, or ``points`` values from end to end of the range: evenly spaced, of ``'log'`` in ratio."""
        if self.kind == 'choice':
            return list(self.values)
        low, high = self.values
        if self.kind == 'integer':
            return sorted({round(each) for each in np.linspace(low, high, self.points)})
        spaced = np.geomspace if self.kind == 'log' else np.linspace
        # The ends as given: rounding must not leave the range.
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
    """A checked `Parameter`.

    Args:
      binding: of the config.
      kind: ``'uniform'``, ``'log'`` (uniform in the logarithm), ``'integer'`` or ``'choice'``.
      values: ``(low, high)`` with low < high, > 0 for ``'log'``; or at least one choice, a text that begins with ``@``
        or ``%`` being a reference or a macro of gin.
      points: of a grid, >= 2.
      when: its condition.

    Raises:
      ValueError: an unknown kind, an empty range, or another value outside those above.
    """
    drawn = f'space[{binding!r}] = {(kind, *values)!r}'
    if kind not in KINDS:
        raise ValueError(f'{drawn} must begin with one of {", ".join(KINDS)}.')
    numbers = len(values) == 2 and all(_is_number(value, whole=kind == 'integer') for value in values)
    fine = len(values) > 0 if kind == 'choice' else numbers and values[0] < values[1]
    if not fine or (kind == 'log' and values[0] <= 0):
        raise ValueError(f'{drawn} is no range: give (kind, low, high) with low < high, or choices.')
    if points < 2:
        raise ValueError(f'{drawn} needs points >= 2, not {points}.')
    conditions = {name: tuple(allowed) for name, allowed in (when or {}).items()}
    return Parameter(binding, kind, tuple(values), points, conditions)


def _is_number(value: Any, *, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def space(parameters: Sequence[Parameter]) -> Space:
    """A checked `Space`.

    Raises:
      ValueError: none at all, or a condition on what does not come before, or that can never hold.
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
    """What a trial of Optuna draws. Of choices Optuna is given the position, since it stores only scalars."""
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
    """A draw as Optuna stores it: positions in place of choices."""
    kinds = {each.binding: each for each in parameters}
    return {
        name: kinds[name].values.index(value) if kinds[name].kind == 'choice' else value
        for name, value in drawn.items()
    }


def grid(parameters: Space) -> Iterator[dict[str, Any]]:
    """Every combination of the parameters' grid values, those under a condition only where it holds."""

    def extend(drawn: dict[str, Any], rest: Space) -> Iterator[dict[str, Any]]:
        if not rest:
            yield drawn
        elif not rest[0].active(drawn):
            yield from extend(drawn, rest[1:])
        else:
            for value in rest[0].grid_values():
                yield from extend({**drawn, rest[0].binding: value}, rest[1:])

    return extend({}, parameters)


def boundary_draws(parameters: Space) -> Iterator[tuple[Parameter, dict[str, Any]]]:
    """Yields draws in which every parameter has each of its choices, or each end of its range, once.

    Beside it are what its condition needs and the first values of all others.
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
    """A draw as overrides of a config: ``['adam.learning_rate = 0.003', 'experiment.inr = @inrs.finer', ...]``."""
    return [f'{name} = {_gin(value)}' for name, value in drawn.items()]


def _gin(value: Any) -> str:
    return value if isinstance(value, str) and value[:1] in ('@', '%') else repr(value)


def shown(drawn: Draw) -> str:
    """A draw for people: numbers to four digits."""
    return ', '.join(
        f'{name} = {value:.4g}' if isinstance(value, float) else f'{name} = {_gin(value)}'
        for name, value in drawn.items()
    )
