"""Keep the state with the best figure of an evaluator, in addition to the newest checkpoints."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperinr.arguments import check_choice
from hyperinr.errors import InputError
from hyperinr.training.checkpoints import Checkpoints, steps_in
from hyperinr.training.watching.evaluations import Evaluation
from hyperinr.training.watching.stop_rules import better

__all__ = ['BEST', 'Best', 'BestCheckpoint', 'KeptBest', 'best_checkpoint']

BEST = 'best'
"""Folder of the best states within the run directory."""


class BestCheckpoint(NamedTuple):
    """The figure that defines the best state.

    Attributes:
      figure: ``'evaluator/figure'``.
      mode: ``'max'`` or ``'min'``.
      keep: number of best states that are kept, >= 1.
    """

    figure: str
    mode: str
    keep: int


class Best(NamedTuple):
    """The best state so far: its step, and the value of its figure."""

    step: int
    value: float


def best_checkpoint(*, figure: str = 'validation/adapted_psnr_db', mode: str = 'max', keep: int = 1) -> BestCheckpoint:
    """Keep the state with the best figure in the run's ``best/``, for the option ``--best`` of ``hyperinr evaluate``.

    Args:
      figure: ``'evaluator/figure'``.
      mode: ``'max'`` if larger is better, else ``'min'``.
      keep: number of states that are kept. A state is saved when it is the best so far; the newest ones are kept.

    Raises:
      InputError: a value is outside its range.
    """
    check_choice('mode', mode, ('max', 'min'))
    if keep < 1:
        raise InputError(f'best_checkpoint.keep is {keep}; it must be at least 1.')
    return BestCheckpoint(figure, mode, keep)


class KeptBest(Checkpoints):
    """Write the best states of one run.

    A best state is saved as an ordinary checkpoint first. A killed run then never resumes from before its best state.

    Args:
      wanted: the figure that defines the best state.
      run_dir: the run directory.
      after_step: first step of this session; best states of later steps are deleted.
      earlier: the run's evaluations up to this step.
    """

    def __init__(self, wanted: BestCheckpoint, run_dir: Path, *, after_step: int, earlier: Sequence[Evaluation]):
        super().__init__(run_dir / BEST, keep=wanted.keep, after_step=after_step)
        self._wanted = wanted
        kept = steps_in(run_dir / BEST)
        self.best: Best | None = None
        for step, _, figures in earlier:
            if step in kept:
                self.consider(step, figures)

    def consider(self, step: int, figures: Mapping[str, float]) -> bool:
        """Return whether the state after ``step`` is the best so far and must be saved."""
        value = figures.get(self._wanted.figure, math.nan)
        if not better(value, self.best and self.best.value, mode=self._wanted.mode):
            return False
        self.best = Best(step, value)
        return True
