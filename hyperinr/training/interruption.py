"""Record Ctrl-C and the signals of a scheduler, so that a loop can check for them between two steps.

A scheduler sends SIGTERM, or SIGUSR1 if it is configured so, before it takes the machine away.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

from hyperinr.errors import InterruptedRunError

__all__ = ['Interruption', 'ending_at_once', 'interruptible']

NOTICES = (signal.SIGTERM, signal.SIGUSR1)
"""Signals of a scheduler."""


@dataclasses.dataclass
class Interruption:
    """The signal that has arrived; ``None`` before one has."""

    signal: int | None = None


@contextlib.contextmanager
def _handled(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle signals by ``handler`` within the context."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Record the first SIGINT, SIGTERM or SIGUSR1 within the context; a second signal has its usual effect.

    Outside the main thread Python cannot handle signals, so nothing is recorded there.
    """
    found = Interruption()
    with contextlib.ExitStack() as handlers:

        def note(number: int, _: FrameType | None) -> None:
            found.signal = number
            handlers.close()

        if threading.current_thread() is threading.main_thread():
            handlers.enter_context(_handled((signal.SIGINT, *NOTICES), note))
        yield found


@contextlib.contextmanager
def ending_at_once(message: str) -> Iterator[None]:
    """End the process with status 75 when a scheduler's signal arrives within the context, even during compilation.

    Use it before there is anything to save. Python handles a signal only after its main thread returns from compiled
    code, which may take minutes. So a second thread receives the signal and ends the process.

    Args:
      message: the line to print.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    descriptor = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def work() -> None:
        while heard := os.read(reader, 1):
            if heard[0] in NOTICES:
                print(f'hyperinr: {message}', file=sys.stderr, flush=True)
                sys.stdout.flush()
                os._exit(InterruptedRunError.exit_status)

    thread = threading.Thread(target=work, name='hyperinr-signals', daemon=True)
    thread.start()
    try:
        with _handled(NOTICES, lambda *_: None):
            yield
    finally:
        signal.set_wakeup_fd(descriptor)
        os.close(writer)
        thread.join()
        os.close(reader)
