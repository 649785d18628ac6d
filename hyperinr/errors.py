"""The two errors that a user can cause; every other exception is a defect of hyperinr.

The command line prints either as one line without a traceback (``--debug`` shows it) and exits with its status.
"""

__all__ = ['InputError', 'RunError']


class InputError(ValueError):
    """A wrong call, config or file. The message says what is wrong, where, and the remedy, in one line.

    Raised before anything is written. Exit status 2.
    """


class RunError(RuntimeError):
    """A run that started well and failed midway (divergence, full disk). One line; exit status 1."""
