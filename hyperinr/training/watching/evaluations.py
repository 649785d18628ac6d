"""Prepare evaluators for one run, and read their figures from its earlier sessions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hyperinr.errors import InputError
from hyperinr.training.watching.evaluators.base import Evaluator, Measurement, Subject
from hyperinr.training.watching.spans import Span

__all__ = ['Evaluation', 'Figures', 'OWN_KINDS', 'Prepared', 'evaluations_of', 'figures_of', 'prepare']

Figures = Mapping[str, float]
"""Values by ``'evaluator/figure'``."""

OWN_KINDS = ('train', 'time')
"""Kinds of records that are not from evaluators."""


OWN_FIELDS = ('step', 'kind', 'seconds', 'evaluation_seconds')
"""Fields of every record that are not figures."""


class Prepared(NamedTuple):
    """An evaluator that is prepared for one run."""

    name: str
    every: Span
    measurement: Measurement


class Evaluation(NamedTuple):
    """The figures of all evaluators at one step.

    Attributes:
      step: updates done.
      seconds: seconds of training.
      figures: figures of all evaluators.
    """

    step: int
    seconds: float
    figures: Figures


def prepare(evaluators: Sequence[Evaluator], subject: Subject, *, wanted: Iterable[str | None]) -> list[Prepared]:
    """Prepare evaluators, and check that they find the ``wanted`` figures. It writes nothing.

    Raises:
      InputError: two evaluators have the same name, a figure has the name of a field of every record, an evaluator has
        nothing to measure, or no evaluator finds a ``wanted`` figure.
    """
    names = [each.name for each in evaluators]
    for name in names:
        if names.count(name) > 1 or name in OWN_KINDS:
            taken = 'is taken' if name in OWN_KINDS else 'is used twice'
            raise InputError(f'the name {name!r} of an evaluator {taken}; give it another one (its parameter `name`).')
    prepared = [Prepared(each.name, each.every, each.prepare(subject)) for each in evaluators]
    figures = figures_of(prepared)
    for each in prepared:
        for own in set(each.measurement.figures).intersection(OWN_FIELDS):
            raise InputError(f'the figure {each.name}/{own} has a name that every record uses: rename it.')
    for figure in wanted:
        if figure is not None and figure not in figures:
            raise InputError(f'no evaluator of this run finds {figure!r}; they find {", ".join(figures) or "nothing"}.')
    return prepared


def figures_of(prepared: Iterable[Prepared]) -> tuple[str, ...]:
    """Return the names ``'evaluator/figure'`` of all figures."""
    return tuple(f'{each.name}/{figure}' for each in prepared for figure in each.measurement.figures)


def evaluations_of(records: Iterable[Mapping[str, Any]]) -> list[Evaluation]:
    """Read evaluations from the records of ``metrics.jsonl``; the records of one step are joined."""
    found: dict[int, tuple[float, dict[str, float]]] = {}
    for record in records:
        if record['kind'] in OWN_KINDS:
            continue
        _, figures = found.setdefault(record['step'], (record['seconds'], {}))
        for name, value in record.items():
            if name not in OWN_FIELDS and (value is None or isinstance(value, int | float)):
                figures[f'{record["kind"]}/{name}'] = float('nan') if value is None else value
    return [Evaluation(step, seconds, figures) for step, (seconds, figures) in found.items()]
