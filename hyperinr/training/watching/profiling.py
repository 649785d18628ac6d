"""Trace a few steps for TensorBoard's profiler (xprof) or Perfetto."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from hyperinr.training.watching.clock import Clock

__all__ = ['FOLDER', 'StepTrace']

FOLDER = 'profile'
WARM_UP = 5
"""Steps before the first traced one: the first calls still allocate, and the input thread still fills its queue."""


class StepTrace:
    """Trace ``num_steps`` steps of a session, after `WARM_UP` other steps if there are enough.

    Args:
      run_dir: run directory; the trace is written to its ``profile/``.
      num_steps: number of steps to trace; 0: no trace.
      start: first step of the session.
      end: step after its last step.
      clock: the clock of the process; the time to start and write a trace does not count as training.
    """

    def __init__(self, run_dir: Path, num_steps: int, *, start: int, end: int, clock: Clock):
        self._folder, self._clock = run_dir / FOLDER, clock
        self._first = max(start, min(start + WARM_UP, end - num_steps))
        self._last = min(self._first + num_steps, end)
        self._running = False

    @contextlib.contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Trace the update of ``step`` (from 0) in the block, if this step is to be traced."""
        if step == self._first and self._first < self._last:
            with self._clock.part('other'):
                jax.profiler.start_trace(str(self._folder))
            self._running = True
        with jax.profiler.StepTraceAnnotation('train', step_num=step):
            yield

    def ends_with(self, step: int) -> bool:
        """Tell whether ``step`` (from 0) is the last traced step. Wait for the step, then call `finish`."""
        return self._running and step + 1 == self._last

    def finish(self, say: Callable[[str], None]) -> None:
        """Write the trace if one is running."""
        if self._running:
            self._running = False
            with self._clock.part('other'):
                jax.profiler.stop_trace()
            say(f'steps {self._first + 1} to {self._last} are traced in {self._folder}; see docs/watching.md')
