"""All loggers of a session as one, none of which can stop the run."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from hyperinr.training.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['LoggerGroup']


class LoggerGroup:
    """Hands every record to every logger; one that fails is reported once and left out from then on.

    Args:
      loggers: in order.
      facts: that they open with.
      report: takes one line for the user.
    """

    def __init__(self, loggers: Sequence[Logger], facts: RunFacts, report: Callable[[str], None]):
        self._report = report
        self.failed: dict[str, str] = {}
        self._open: list[tuple[str, OpenLogger]] = []
        for name, begin in loggers:
            with self._guarded(name):
                self._open.append((name, begin(facts)))

    def write(self, record: Record) -> None:
        """To all that have not failed."""
        for each in list(self._open):
            with self._guarded(*each):
                each[1].write(record)

    def close(self) -> None:
        """Ends them all."""
        for name, logger in self._open:
            with self._guarded(name):
                logger.close()
        self._open = []

    @contextlib.contextmanager
    def _guarded(self, name: str, logger: OpenLogger | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._open = [each for each in self._open if each[1] is not logger]
            reason = ' '.join((str(error) or type(error).__name__).split())[:200]
            self.failed[name] = reason
            self._report(f'the logger {name} failed and is left out from here on, the run goes on: {reason}')
