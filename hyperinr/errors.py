"""The errors that a user or a scheduler can cause; every other exception is a defect of hyperinr.

The command line prints each one in one line, without a traceback (``--debug`` shows it), and exits with its status.
"""

__all__ = ['InputError', 'InterruptedRunError', 'RunError', 'first_line', 'is_out_of_memory']


class InputError(ValueError):
    """A wrong call, config or file. The message says in one line what is wrong, where, and how to correct it.

    Raised before anything is written. Exit status 2.
    """

    exit_status = 2


class RunError(RuntimeError):
    """A run that started well and failed later (divergence, full disk). One line; exit status 1."""

    exit_status = 1


class InterruptedRunError(RunError):
    """A run that was stopped from outside. The same command continues it. Exit status 75; a scheduler may requeue it.

    75 is ``EX_TEMPFAIL`` of sysexits.h: a temporary failure, try again.
    """

    exit_status = 75


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out: a ``MemoryError`` of Python or NumPy, or XLA's error, told by its name and text."""
    signs = ('RESOURCE_EXHAUSTED', 'Out of memory', 'bad_alloc')
    of_xla = type(error).__name__ in ('JaxRuntimeError', 'XlaRuntimeError')
    return isinstance(error, MemoryError) or (of_xla and any(sign in str(error) for sign in signs))
