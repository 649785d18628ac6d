"""What a logger is: something that is told of every report and evaluation of a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from hyperinr.training.watching.evaluators.base import Findings

__all__ = ['Logger', 'OpenLogger', 'Record', 'RunFacts']

Hyperparameter = bool | int | float | str


class Record(NamedTuple):
    """One report.

    Attributes:
      step: updates done.
      seconds: of training so far.
      kind: ``'train'`` for the means of an interval of training, ``'time'`` for where a session's time went, else the
        evaluator's name.
      findings: what there is to say; nobody may change it.
    """

    step: int
    seconds: float
    kind: str
    findings: Findings


class RunFacts(NamedTuple):
    """What a logger is told when it opens.

    Attributes:
      run_dir: folder of the run, there already.
      start: step that this session begins at; what was logged beyond it, by a session that was killed, is void.
      hyperparameters: bindings of the config by name.
      figures: ``'evaluator/figure'`` that evaluators will find.
      console: of the terminal.
    """

    run_dir: Path
    start: int
    hyperparameters: Mapping[str, Hyperparameter]
    figures: tuple[str, ...]
    console: Console


class OpenLogger(NamedTuple):
    """A logger in use. Any exception of it is reported and ends the logger, but the run only if it is essential.

    Attributes:
      write: ``(record) -> None``.
      close: ``() -> None``.
    """

    write: Callable[[Record], None]
    close: Callable[[], None] = lambda: None


class Logger(NamedTuple):
    """Where reports go.

    Attributes:
      name: for messages about it.
      open: ``(facts) -> OpenLogger``.
      essential: whether a run could not be resumed without what it writes: what it raises ends the run.
    """

    name: str
    open: Callable[[RunFacts], OpenLogger]
    essential: bool = False
