"""End a process on a signal: at a step where nothing is lost, or at once if there is nothing to save.

Signals are Ctrl-C, the notices of a scheduler (SIGTERM, or SIGUSR1 if it is configured so, before it takes the machine
away), and SIGHUP of a terminal that was closed. A loop records them between two steps with `interruptible`. Everywhere
else the console script, which has called `watch`, ends:

- A Python handler raises `Interrupted`, so that files and child processes are cleaned up.
- Not inside jax, orbax, an import or a wait for a thread. An exception there may crash the process, take minutes, or
  be reported as another error. There the handler ends the process itself.
- Python runs a handler only when its main thread returns from compiled code, which may take minutes. So a second thread
  reads the signals too, and ends the process if the handler has not run in time.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import NoReturn

from hyperinr.errors import InterruptedRunError

__all__ = ['GOES_ON', 'PARENT', 'Interrupted', 'Interruption', 'closing', 'interruptible', 'note', 'watch']

NOTICES = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
PARENT = 'HYPERINR_PARENT'
"""Variable with the process ID of the launcher; a worker whose launcher has gone ends as after SIGTERM."""
GOES_ON = '; the same command goes on'
"""End of the line of a command that is continued by running it again."""
POLL_SECONDS = 0.3
"""Time for the main thread to run a handler, and between two looks for the launcher."""
LEAVE_SECONDS = 30.0
"""Time to clean up after a signal."""
FOREIGN = ('jax', 'jaxlib', 'orbax', 'tensorstore', 'importlib', '_frozen_importlib', 'concurrent', 'threading')
HEARD, LEAVING = 0, 255
"""Bytes beside signal numbers in the pipe to the thread: a handler has run; the main thread cleans up and ends."""


class Interrupted(KeyboardInterrupt):
    """A signal has arrived; no ``except Exception`` holds it.

    Args:
      message: one line.
      exit_status: status of the process.
    """

    def __init__(self, message: str, exit_status: int):
        super().__init__(message)
        self.exit_status = exit_status


class Interruption:
    """The signal that has arrived; ``None`` before one has. ``SIGPIPE`` stands for a closed standard output."""

    signal: int | None = None


_recording: list[Interruption] = []
_watch: '_Watch | None' = None


def note(number: int) -> bool:
    """Record a signal in the loops inside `interruptible`; return whether there is one. Any thread may call it."""
    for each in _recording:
        each.signal = each.signal or number
    return bool(_recording)


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
    """Record the first signal within the context; a second signal has its usual effect.

    An ignored SIGHUP stays ignored: ``nohup`` asks for that. Outside the main thread Python cannot handle signals, so
    only `note` records there.
    """
    found = Interruption()
    with contextlib.ExitStack() as handlers:

        def handle(number: int, _: FrameType | None) -> None:
            note(number)
            handlers.close()
            if _watch is not None:
                _watch.tell(HEARD)

        _recording.append(found)
        handlers.callback(_recording.remove, found)
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in (signal.SIGINT, *NOTICES) if not _ignored(number) or number == signal.SIGINT]
            handlers.enter_context(_handled(heard, handle))
        yield found


def _ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def watch() -> None:
    """Let signals end this process from now on, with one line: status 130 after Ctrl-C, otherwise 75.

    Ignored signals stay ignored. For a process that calls it once, in its main thread.
    """
    global _watch
    _watch = _Watch()


def closing(*, goes_on: bool | None = None, ends: bool = False) -> None:
    """Tell the watch about the command, if this process has one.

    Args:
      goes_on: whether the same command continues; the line then says so.
      ends: nothing is left to clean up: the next signal ends the process at once.
    """
    if _watch is not None:
        _watch.goes_on = _watch.goes_on if goes_on is None else goes_on
        _watch.leaves = _watch.leaves or ends


class _Watch:
    """The handlers of a process, and the thread that reads its signals."""

    def __init__(self) -> None:
        self.goes_on, self.leaves = False, False
        self._parent = int(os.environ.pop(PARENT, '0'))
        self._numbers = [number for number in (signal.SIGINT, *NOTICES) if not _ignored(number)]
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, self._handle)
        threading.Thread(target=self._work, name='hyperinr-signals', daemon=True).start()

    def tell(self, byte: int) -> None:
        """Send a byte to the thread."""
        os.write(self._writer, bytes([byte]))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.leaves or _is_foreign(frame):
            self._end(number)
        self.leaves = True
        self.tell(LEAVING)
        raise Interrupted(*self._ending(number))

    def _ending(self, number: int) -> tuple[str, int]:
        by_user = number == signal.SIGINT
        message = f'interrupted{"" if by_user else f" by {signal.Signals(number).name}"}{GOES_ON * self.goes_on}'
        return message, 128 + number if by_user else InterruptedRunError.exit_status

    def _end(self, number: int) -> NoReturn:
        message, status = self._ending(number)
        # Another thread may hold the locks of the streams. A progress bar has hidden the cursor.
        with contextlib.suppress(OSError):
            if os.isatty(1):
                os.write(1, b'\x1b[?25h\n')
        with contextlib.suppress(OSError):
            os.write(2, f'hyperinr: {message}\n'.encode())
        os._exit(status)

    def _work(self) -> None:
        unheard: list[int] = []
        last, deadline = int(signal.SIGTERM), float('inf')
        while True:
            waits = unheard or self._parent or deadline < float('inf')
            if select.select([self._reader], [], [], POLL_SECONDS if waits else None)[0]:
                for byte in os.read(self._reader, 64):
                    if byte in self._numbers:
                        unheard.append(byte)
                        last = byte
                    elif byte in (HEARD, LEAVING):
                        unheard.clear()
                    if byte == LEAVING:
                        deadline = time.monotonic() + LEAVE_SECONDS
                continue
            # A loop that records the first signal may be in a long step; a second one shows that nobody waits for it.
            if len(unheard) > (1 if _recording else 0) or time.monotonic() > deadline:
                self._end(last)
            if self._parent and os.getppid() != self._parent:
                self._parent = 0
                if not unheard and not self.leaves:
                    os.kill(os.getpid(), signal.SIGTERM)


def _is_foreign(frame: FrameType | None) -> bool:
    """Return whether a frame, or one that called it, belongs to `FOREIGN`."""
    while frame is not None:
        if str(frame.f_globals.get('__name__')).partition('.')[0] in FOREIGN:
            return True
        frame = frame.f_back
    return False
