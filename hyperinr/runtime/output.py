"""Standard streams of a process that may be closed at any time: a pipe whose reader has left, a closed terminal."""

import errno
import io
import os
import signal
import sys
from typing import Any

from hyperinr.errors import RunError
from hyperinr.runtime.interruption import note

__all__ = ['OutputClosed', 'guard_streams']


class OutputClosed(KeyboardInterrupt):
    """The reader of the standard output has left. It ends the command as Ctrl-C does."""


class _Guarded(io.FileIO):
    """A descriptor that discards all further output after the first error."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            if self.fileno() == 1:
                _end(error)
            return len(data)


def _end(error: OSError) -> None:
    """End the work at a step where nothing is lost if a loop records signals, else here.

    Raises:
      OutputClosed: the reader has left.
      RunError: another error, e.g. a full disk.
    """
    # A process that outlives its terminal on purpose (nohup, disown) goes on in silence.
    if error.errno == errno.EIO or note(signal.SIGPIPE):
        return
    if error.errno == errno.EPIPE:
        raise OutputClosed from error
    raise RunError(f'the standard output cannot be written: {error.strerror}.') from error


def guard_streams() -> None:
    """Let no error of a standard stream stop training without a save, nor end a command with a traceback.

    Streams that were closed before the start get the null device: a file that is opened later would get their
    descriptors, and what libraries print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, this one
    for descriptor, name in ((1, 'stdout'), (2, 'stderr')):
        before = getattr(sys, name)
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Guarded(descriptor, 'w', closefd=False)),
            encoding=before.encoding if before else 'utf-8',
            errors=before.errors if before else 'replace',
            line_buffering=descriptor == 2 or (before is not None and before.line_buffering),
            write_through=before is not None and before.write_through,
        )
        setattr(sys, name, stream)
