"""The console script ``hyperinr``: parse the arguments, bind gin and call one function.

Each module beside this one declares a family of verbs and has one function for each. An error in a call, a config or a
file is reported in one line (exit status 2), and so is the failure of a running command (1). ``--debug`` shows the
traceback. A verb imports the heavy modules that it needs. To add a verb, declare it in its family's ``add_verbs``. Its
default ``on_memory`` says what to lower where memory runs out, and ``ends_at_once`` that nothing is open any more when
it returns, so that the process ends without tidying up.
"""

import argparse
import contextlib
import gc
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

import hyperinr
from hyperinr.cli import describing, own_files, searching, stores, training
from hyperinr.cli.device import add_device, on_machine
from hyperinr.errors import InputError, InterruptedRunError, RunError, is_out_of_memory
from hyperinr.runtime.interruption import GOES_ON, Interrupted, closing, watch
from hyperinr.runtime.output import OutputClosed, guard_streams

__all__ = ['main']

LONGEST = 1500
"""Characters of a message."""


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        valueless = re.search(r'(--[\w-]+): expected one argument$', message)
        if valueless:
            message += f'; a value that begins with - is written {valueless[1]}=VALUE'
        self.exit(2, f'hyperinr: error: {_one_line(message)} (see `{self.prog} --help`)\n')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      arguments: arguments without the program's name; ``None``: those of the process, which signals and closed
        standard streams then end as `hyperinr.runtime.interruption` and `hyperinr.runtime.output` say.

    Returns:
      The exit status: 0 for success, 1 for a failed run, 2 for a wrong call or input, 75 for a command that was stopped
      from outside (the same command goes on or begins again), 130 after Ctrl-C, 141 if the reader of the output left.
    """
    if arguments is not None:
        return _run(_parser().parse_args(arguments))
    guard_streams()
    watch()
    at_once = False
    try:
        options = _parser().parse_args()
        at_once = options.ends_at_once
        status = _run(options)
    except SystemExit as stop:  # the parser's
        status = int(stop.code or 0)
    closing(ends=True)
    with contextlib.suppress(OutputClosed, RunError):
        sys.stdout.flush()
    if status > 2 or at_once:
        # Threads may still compile or write, and would delay the end or crash it. The interpreter takes half a second.
        os._exit(status)
    return status


def _run(options: argparse.Namespace) -> int:
    closing(goes_on=options.goes_on)
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    # Importing and tracing make millions of objects that stay: half a second less of looking through them.
    gc.set_threshold(100_000, 10, 10)
    plain = warnings.formatwarning
    if not options.debug:
        warnings.formatwarning = lambda message, *_: f'hyperinr: {message}\n'
        from absl import logging

        logging.set_verbosity(logging.FATAL)  # Orbax and tfds log each of their steps, and errors that they also raise.
    try:
        with on_machine(options) as options.machine:
            if options.keep_compiled is not False and options.verb.__module__ != describing.__name__:
                _keep_compiled(asked=bool(options.keep_compiled))
            options.verb(options)
        sys.stdout.flush()
        return 0
    except OutputClosed:
        if options.goes_on:
            return _fail(f'the standard output was closed{GOES_ON}', InterruptedRunError.exit_status)
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as error:
        return _fail(
            str(error) or 'interrupted', error.exit_status if isinstance(error, Interrupted) else 128 + signal.SIGINT
        )
    except Exception as error:
        if options.debug:
            raise
        message = str(error).strip() or type(error).__name__
        if isinstance(error, InputError | RunError):
            return _fail(message, error.exit_status)
        if isinstance(error, OSError) and error.strerror:
            return _fail(f'{error.strerror}: {error.filename or "reading or writing"}.', RunError.exit_status)
        if is_out_of_memory(error):
            return _fail(f'out of memory: {options.on_memory}.', RunError.exit_status)
        return _fail(f'unexpected {type(error).__name__}: {message} (--debug shows the traceback)', 1)
    finally:
        warnings.formatwarning = plain


def _keep_compiled(asked: bool) -> None:
    """Let jax keep compiled functions; where nobody asked for it, a folder that cannot be used is no error."""
    if not asked and 'JAX_COMPILATION_CACHE_DIR' in os.environ:
        return
    from hyperinr.datasets import cache_folder
    from hyperinr.runtime.compilation_cache import use_compilation_cache

    with contextlib.nullcontext() if asked else contextlib.suppress(InputError, RunError):
        use_compilation_cache(cache_folder())


def _fail(message: str, status: int) -> int:
    print(f'hyperinr: {"" if status > 2 else "error: "}{_one_line(message)}', file=sys.stderr)
    return status


def _one_line(message: str) -> str:
    """Return a message as one line that a terminal shows as it is, cut in its middle where it is very long."""
    line = ''.join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in ' '.join(message.splitlines()))
    return line if len(line) <= LONGEST else f'{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}'


def _parser() -> argparse.ArgumentParser:
    parser = _Parser('hyperinr', description='Meta-train hypernetworks that predict the weights of INRs, and use them.')
    parser.add_argument('--version', action='version', version=f'hyperinr {hyperinr.__version__}')
    verbs = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)

    def add(name: str, verb: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=summary, description=f'{summary}.')
        command.set_defaults(verb=verb, on_memory='close other programs, or use a machine with more')
        command.set_defaults(goes_on=False, ends_at_once=False)
        command.add_argument('--debug', action='store_true', help='show tracebacks')
        add_device(command)
        keep_compiled = 'keep compiled functions in the cache folder, which makes the next start faster (default)'
        command.add_argument('--keep-compiled', action=argparse.BooleanOptionalAction, help=keep_compiled)
        return command

    for family in (training, own_files, stores, searching, describing):
        family.add_verbs(add)
    return parser
