"""Stop rules end a run before its last step: after a given length, or when a figure no longer improves.

A rule is asked after every step and stores nothing on the disk. When a run resumes, its rules are asked again about
every evaluation in ``metrics.jsonl``. So an interrupted run ends at the same step as an uninterrupted one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hyperinr.arguments import check_choice
from hyperinr.errors import InputError
from hyperinr.training.watching.spans import Progress, span

__all__ = ['StopRule', 'StopRules', 'after', 'better', 'early_stopping']

Ask = Callable[[Progress, Mapping[str, float]], str | None]


class StopRule(NamedTuple):
    """A rule that may end a run early.

    Attributes:
      begin: ``() -> ask``. ``ask(progress, figures)`` returns the reason why the run ends here, or ``None``.
        ``figures`` are the figures of the evaluators that just ran, by ``'evaluator/figure'``; after most steps there
        are none.
      figure: the figure that the rule needs, if any.
    """

    begin: Callable[[], Ask]
    figure: str | None = None


class StopRules:
    """All rules of a session.

    Args:
      rules: any number.
    """

    def __init__(self, rules: Sequence[StopRule]):
        self._asks = [rule.begin() for rule in rules]

    def ends(self, now: Progress, figures: Mapping[str, float]) -> str | None:
        """Pass the figures to every rule; return the first reason why the run ends here, or ``None``."""
        return next(filter(None, [ask(now, figures) for ask in self._asks]), None)


def after(*, limit: str) -> StopRule:
    """End the run after ``limit`` of training, unless the experiment ends earlier.

    The learning-rate schedule is not shortened; it is that of the experiment's number of steps.

    Args:
      limit: ``'1000 steps'``, ``'2 hours'`` or ``'10 epochs'``, counted over all sessions.

    Raises:
      InputError: ``limit`` is not a length of training.
    """
    length = span(limit)
    return StopRule(lambda: lambda now, figures: f'{limit} of training' if length.reached(now) else None)


def early_stopping(
    *, figure: str = 'validation/adapted_psnr_db', mode: str = 'max', patience: int = 5, min_change: float = 0.0
) -> StopRule:
    """End the run when a figure has not improved on its best value in ``patience`` evaluations in a row.

    Prechelt, "Early stopping - but when?" (1998), third class of criteria (UP).

    Args:
      figure: ``'evaluator/figure'``.
      mode: ``'max'`` if larger is better, else ``'min'``.
      patience: number of evaluations, >= 1.
      min_change: >= 0, in the figure's unit. Only an improvement by more than this counts.

    Raises:
      InputError: a value is outside its range.
    """
    check_choice('mode', mode, ('max', 'min'))
    if patience < 1 or min_change < 0:
        raise InputError(f'early stopping needs patience >= 1 and min_change >= 0, not {patience=}, {min_change=}.')

    def begin() -> Ask:
        best: float | None = None
        waited = 0

        def ask(now: Progress, figures: Mapping[str, float]) -> str | None:
            nonlocal best, waited
            if figure not in figures:
                return None
            if better(figures[figure], best, mode=mode, min_change=min_change):
                best, waited = figures[figure], 0
                return None
            waited += 1
            shown = 'no number' if best is None else f'{best:.4g}'
            return f'{figure} not better than {shown} in {patience} evaluations' if waited >= patience else None

        return ask

    return StopRule(begin, figure)


def better(value: float, best: float | None, *, mode: str, min_change: float = 0.0) -> bool:
    """Tell whether ``value`` is better than ``best`` (``None``: no value yet) by more than ``min_change``.

    NaN is never better.
    """
    sign = 1 if mode == 'max' else -1
    return not np.isnan(value) and (best is None or sign * value > sign * best + min_change)
