"""Evaluators made ready for one run, and what they found in its earlier sessions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hyperinr.errors import InputError
from hyperinr.training.watching.evaluators.base import Evaluator, Measurement, Subject
from hyperinr.training.watching.spans import Span

__all__ = ['Evaluation', 'Figures', 'OWN_KINDS', 'Prepared', 'evaluations_of', 'figures_of', 'prepare']

Figures = Mapping[str, float]
"""By ``'evaluator/figure'``."""

OWN_KINDS = ('train', 'time')
"""Of records that no evaluator writes."""


OWN_FIELDS = ('step', 'kind', 'seconds', 'evaluation_seconds')
"""Of every record."""


class Prepared(NamedTuple):
    """An evaluator that knows its run."""

    name: str
    every: Span
    measurement: Measurement


class Evaluation(NamedTuple):
    """What the evaluators of one step found.

    Attributes:
      step: updates done.
      seconds: of training.
      figures: of all of them.
    """

    step: int
    seconds: float
    figures: Figures


def prepare(evaluators: Sequence[Evaluator], subject: Subject, *, wanted: Iterable[str | None]) -> list[Prepared]:
    """Prepare evaluators, and check that the figures that others count on are among theirs. Writes nothing.

    Raises:
      InputError: two evaluators of one name, a figure named like a field of every record, an evaluator with nothing to
        measure, a ``wanted`` figure that none finds.
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
    """Return ``'evaluator/figure'`` of all."""
    return tuple(f'{each.name}/{figure}' for each in prepared for figure in each.measurement.figures)


def evaluations_of(records: Iterable[Mapping[str, Any]]) -> list[Evaluation]:
    """Read evaluations from the records of ``metrics.jsonl``, those of one step together."""
    found: dict[int, tuple[float, dict[str, float]]] = {}
    for record in records:
        if record['kind'] in OWN_KINDS:
            continue
        _, figures = found.setdefault(record['step'], (record['seconds'], {}))
        for name, value in record.items():
            if name not in OWN_FIELDS and not isinstance(value, list):
                figures[f'{record["kind"]}/{name}'] = float('nan') if value is None else value
    return [Evaluation(step, seconds, figures) for step, (seconds, figures) in found.items()]
