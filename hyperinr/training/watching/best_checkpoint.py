"""Keep the state with the best figure of an evaluator, beside the newest ones that a run goes on from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperinr.errors import InputError
from hyperinr.training.checkpoints import Checkpoints, steps_in
from hyperinr.training.watching.evaluations import Evaluation
from hyperinr.training.watching.stop_rules import better, check_mode

__all__ = ['BEST', 'Best', 'BestCheckpoint', 'KeptBest', 'best_checkpoint']

BEST = 'best'
"""Folder of a run."""


class BestCheckpoint(NamedTuple):
    """What is best.

    Attributes:
      figure: ``'evaluator/figure'``.
      mode: ``'max'`` or ``'min'``.
      keep: how many of the best so far stay, >= 1.
    """

    figure: str
    mode: str
    keep: int


class Best(NamedTuple):
    """The best so far."""

    step: int
    value: float


def best_checkpoint(*, figure: str = 'validation/adapted_psnr_db', mode: str = 'max', keep: int = 1) -> BestCheckpoint:
    """Keep the state with the best figure in the run's ``best/``; ``hyperinr evaluate --best`` and the like use it.

    Args:
      figure: ``'evaluator/figure'``.
      mode: ``'max'`` where more is better, else ``'min'``.
      keep: states that stay, the newest of those that each were the best when they were saved.

    Raises:
      InputError: a value outside its range.
    """
    check_mode(mode)
    if keep < 1:
        raise InputError(f'best_checkpoint.keep is {keep}; it must be at least 1.')
    return BestCheckpoint(figure, mode, keep)


class KeptBest(Checkpoints):
    """Writes the best states of one run.

    A best state is saved among the ordinary checkpoints first. A run that is killed then never goes on from before its
    best state.

    Args:
      wanted: what is best.
      run_dir: of the run.
      after_step: where this session begins; best states of later steps are deleted.
      earlier: the run's evaluations up to there.
    """

    def __init__(self, wanted: BestCheckpoint, run_dir: Path, *, after_step: int, earlier: Sequence[Evaluation]):
        super().__init__(run_dir / BEST, keep=wanted.keep)
        self._wanted = wanted
        self.discard_after(after_step)
        kept = steps_in(run_dir / BEST)
        self.best: Best | None = None
        for step, _, figures in earlier:
            if step in kept:
                self.consider(step, figures)

    def consider(self, step: int, figures: Mapping[str, float]) -> bool:
        """Return whether the state after ``step`` is the best so far, and so to be saved."""
        value = figures.get(self._wanted.figure)
        best = None if self.best is None else self.best.value
        if value is None or not better(value, best, mode=self._wanted.mode):
            return False
        self.best = Best(step, value)
        return True
