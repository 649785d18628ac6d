"""Run commands in processes on this machine."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence

from hyperinr.launching.base import Ended, Poll, last_line, watch, worker_environment
from hyperinr.runtime.interruption import PARENT

__all__ = ['launch_local']


def launch_local(
    commands: Sequence[Sequence[str]],
    *,
    environment: Mapping[str, str] | None = None,
    on_poll: Callable[[], None] = lambda: None,
) -> None:
    """Run each command in its own process and wait until all have succeeded; leave no process running.

    A command gets no signal of the terminal. This process sends it one SIGTERM at its own end; a command of hyperinr
    also ends when this process is killed.

    Args:
      commands: command lines.
      environment: variables added to those of this process; ``None``: `base.worker_environment`.
      on_poll: called a few times a second.

    Raises:
      InputError, RunError, KeyboardInterrupt: as for `base.watch`.
    """
    variables = {**os.environ, **(worker_environment() if environment is None else environment)}
    variables[PARENT] = str(os.getpid())
    with contextlib.ExitStack() as files:
        processes = []

        def start(command: Sequence[str]) -> Poll:
            errors = files.enter_context(tempfile.TemporaryFile())
            nothing = subprocess.DEVNULL
            process = subprocess.Popen(
                list(command), stdin=nothing, stdout=nothing, stderr=errors, env=variables, process_group=0
            )
            processes.append(process)

            def poll() -> Ended | None:
                if process.poll() is None:
                    return None
                errors.seek(0)
                return Ended(process.returncode, last_line(errors.read()))

            return poll

        try:
            watch(start, commands, on_poll=on_poll)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
