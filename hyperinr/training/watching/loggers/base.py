"""The contract of a logger, which gets every report and evaluation of a run."""

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
      seconds: seconds of training so far.
      kind: ``'train'`` for the means of an interval of training, ``'time'`` for the time that a session spent in each
        part, else the evaluator's name.
      findings: the contents of the report; loggers must not change it.
    """

    step: int
    seconds: float
    kind: str
    findings: Findings


class RunFacts(NamedTuple):
    """The facts that a logger gets when it opens.

    Attributes:
      run_dir: the run directory, which exists.
      start: first step of this session. Records of a killed session beyond this step are void.
      hyperparameters: bindings of the config by name.
      figures: names ``'evaluator/figure'`` of all figures.
      console: console of the terminal.
    """

    run_dir: Path
    start: int
    hyperparameters: Mapping[str, Hyperparameter]
    figures: tuple[str, ...]
    console: Console


class OpenLogger(NamedTuple):
    """An open logger. An exception of it is reported and ends the logger; it ends the run if the logger is essential.

    Attributes:
      write: ``(record) -> None``.
      close: ``() -> None``.
    """

    write: Callable[[Record], None]
    close: Callable[[], None] = lambda: None


class Logger(NamedTuple):
    """A destination of reports.

    Attributes:
      name: name of the logger in messages.
      open: ``(facts) -> OpenLogger``.
      essential: whether resuming the run needs the logger's output. If so, an exception of the logger ends the run.
    """

    name: str
    open: Callable[[RunFacts], OpenLogger]
    essential: bool = False
