"""Run all loggers of a session; only a failure of an essential logger ends the run."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['LoggerGroup']


class LoggerGroup:
    """Pass every record to every logger. A logger that fails is reported once and gets no further record.

    An exception of an essential logger ends the run.

    Args:
      loggers: called in this order.
      facts: passed to each logger when it opens.
      report: takes one line for the user.
    """

    def __init__(self, loggers: Sequence[Logger], facts: RunFacts, report: Callable[[str], None]):
        self._report = report
        self.failed: dict[str, str] = {}
        self._open: list[tuple[Logger, OpenLogger]] = []
        for each in loggers:
            with self._guarded(each):
                self._open.append((each, each.open(facts)))

    def write(self, record: Record) -> None:
        """Write a record to all loggers that have not failed."""
        for each in list(self._open):
            with self._guarded(*each):
                each[1].write(record)

    def close(self) -> None:
        """Close all loggers."""
        for kind, logger in self._open:
            with self._guarded(kind):
                logger.close()
        self._open = []

    @contextlib.contextmanager
    def _guarded(self, kind: Logger, logger: OpenLogger | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if kind.essential:
                raise
            self._open = [each for each in self._open if each[1] is not logger]
            reason = ' '.join((str(error) or type(error).__name__).split())[:200]
            self.failed[kind.name] = reason
            self._report(f'the logger {kind.name} failed and is left out from here on, the run goes on: {reason}')
