"""Lengths of training in steps, seconds or epochs, for intervals between evaluations and for the end of a run."""

import math
import re
from fractions import Fraction
from typing import NamedTuple

from hyperinr.errors import InputError

__all__ = ['Progress', 'Span', 'span']

UNITS = {
    'step': ('step', 1),
    'second': ('seconds', 1),
    'minute': ('seconds', 60),
    'hour': ('seconds', 3600),
    'epoch': ('epochs', 1),
}


class Progress(NamedTuple):
    """The progress of a run.

    Attributes:
      step: updates done.
      seconds: seconds of training over all sessions of the run, without compilation, evaluation, logging and saving.
      epochs: number of datapoints seen, divided by the size of the training split.
    """

    step: int
    seconds: float
    epochs: Fraction


class Span(NamedTuple):
    """A length of training.

    Attributes:
      amount: > 0.
      unit: a field of `Progress`.
    """

    amount: Fraction
    unit: str

    def _spans_in(self, progress: Progress) -> float | Fraction:
        quantity: float | Fraction = getattr(progress, self.unit)
        return quantity / self.amount

    def passes(self, before: Progress, now: Progress) -> bool:
        """Tell whether one of the spans, laid end to end from the run's start, ends after ``before`` and by ``now``."""
        return math.floor(self._spans_in(now)) > math.floor(self._spans_in(before))

    def reached(self, now: Progress) -> bool:
        """Tell whether the run is at least as long as the span."""
        return self._spans_in(now) >= 1


def span(text: str) -> Span:
    """Read a `Span` from ``'200 steps'``, ``'30 seconds'``, ``'1.5 hours'`` or ``'2 epochs'``.

    Raises:
      InputError: the text has another form.

    Example:
      >>> span('2 minutes')
      Span(amount=Fraction(120, 1), unit='seconds')
    """
    found = re.fullmatch(r'\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*', text) if isinstance(text, str) else None
    amount = Fraction(found[1]) if found else Fraction(0)
    if found is None or found[2] not in UNITS or amount <= 0:
        raise InputError(
            f'{text!r} is no length of training; write a positive number and a unit, one of {", ".join(UNITS)}: '
            "'200 steps', '30 seconds', '0.5 epochs'."
        )
    unit, factor = UNITS[found[2]]
    if unit == 'step' and amount.denominator != 1:
        raise InputError(f'{text!r}: steps are whole; write a whole number of them.')
    return Span(amount * factor, unit)
