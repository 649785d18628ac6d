"""Measure the time of a process. Every second belongs to exactly one part."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

import jax

__all__ = ['PARTS', 'TRAINING', 'Clock', 'compilation_apart']

TRAINING = ('input', 'step')
"""The parts that count as training: waiting for a batch, and the update."""
PARTS = ('input', 'compile', 'step', 'evaluation', 'checkpoint', 'logging', 'other')

COMPILED = '/jax/core/compile/backend_compile_duration'
"""Jax's own event at the end of every compilation."""


class Clock:
    """The seconds spent in each of `PARTS` since the clock was created; time in no other part is ``'other'``.

    Attributes:
      earlier: seconds of training in earlier sessions of the run.
    """

    def __init__(self) -> None:
        self.earlier = 0.0
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._current = 'other'
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block for ``name``. The time of a nested block does not count for the outer block."""
        outer = self._current
        self._enter(name)
        try:
            yield
        finally:
            self._enter(outer)

    def move(self, seconds: float, name: str) -> None:
        """Move seconds from the current part to ``name``."""
        self._spent[self._current] -= seconds
        self._spent[name] += seconds

    def spent(self) -> Mapping[str, float]:
        """Return the seconds of each part until now."""
        self._enter(self._current)
        return dict(self._spent)

    @property
    def trained(self) -> float:
        """Seconds of training of the whole run."""
        spent = self.spent()
        return self.earlier + sum(spent[name] for name in TRAINING)

    def _enter(self, name: str) -> None:
        now = time.perf_counter()
        self._spent[self._current] += now - self._since
        self._current, self._since = name, now


@contextlib.contextmanager
def compilation_apart(clock: Clock) -> Iterator[None]:
    """Count the time that this thread compiles in the block as ``'compile'``, not for the part in which it compiles."""
    thread = threading.get_ident()

    def on_event(event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILED and threading.get_ident() == thread:
            clock.move(duration_secs, 'compile')

    jax.monitoring.register_event_duration_secs_listener(on_event)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(on_event)
