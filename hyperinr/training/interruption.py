"""Ctrl-C and SIGTERM as a wish that a loop looks up between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ['Interruption', 'interruptible']


class Interruption:
    """The signal that has arrived, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def raise_if_any(self, message: str) -> None:
        """Ends the process the way the signal would have.

        Raises:
          KeyboardInterrupt: with ``message``, after SIGINT.
          SystemExit: with status 143, after SIGTERM.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt(message)
        if self.signal is not None:
            raise SystemExit(128 + self.signal)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within the context the first SIGINT or SIGTERM is only noted; the second acts as it did before.

    Outside the main thread, where Python lets nobody handle signals, nothing is ever noted.
    """
    found = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        found.signal = number
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield found
    finally:
        restore()
