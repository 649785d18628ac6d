"""The code that all launchers share: run a command, interpret its exit status, and restart it after a kill."""

import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hyperinr.errors import InputError, RunError

__all__ = ['MAX_RESTARTS', 'Ended', 'Poll', 'check', 'last_line', 'run_command', 'watch', 'worker_environment']

MAX_RESTARTS = 5
"""Maximum restarts of each command; a machine that kills a command more often has another problem."""
POLL_SECONDS = 0.2
logger = logging.getLogger(__name__)
INTERRUPTED = 130


class Ended(NamedTuple):
    """The end of a command.

    Attributes:
      status: exit status; 0 is success.
      message: last line of the standard error.
    """

    status: int
    message: str


Poll = Callable[[], Ended | None]
"""``() -> Ended`` of a started command; ``None`` while it runs."""


def watch(
    start: Callable[[Sequence[str]], Poll],
    commands: Sequence[Sequence[str]],
    *,
    on_poll: Callable[[], None],
) -> None:
    """Start commands and wait until all have succeeded.

    A killed command is restarted. An error that a command reports is raised at once.

    Args:
      start: starts a command on the launcher's machines.
      commands: command lines.
      on_poll: called a few times a second.

    Raises:
      InputError, RunError: a command reported this error, or was killed too often.
      KeyboardInterrupt: a command was interrupted.
    """
    restarts = [0] * len(commands)
    running = {number: start(command) for number, command in enumerate(commands)}
    while running:
        for number, poll in list(running.items()):
            ended = poll()
            if ended is None:
                continue
            check(ended)
            del running[number]
            if ended.status == 0:
                continue
            if restarts[number] == MAX_RESTARTS:
                raise RunError(
                    f'a worker died {MAX_RESTARTS + 1} times (exit status {ended.status}): {ended.message}; finished '
                    'work is kept; run the command again to go on.'
                )
            restarts[number] += 1
            logger.warning(
                'a worker was killed (exit status %d: %s); started again, %d of at most %d times',
                ended.status, ended.message, restarts[number], MAX_RESTARTS,
            )  # fmt: skip
            running[number] = start(commands[number])
        on_poll()
        if running:
            time.sleep(POLL_SECONDS)


def check(ended: Ended) -> None:
    """Raise the error that a command reported; return if the command succeeded, was killed or crashed.

    Raises:
      InputError: the status is 2.
      RunError: the status is 1.
      KeyboardInterrupt: the command was interrupted.
    """
    errors = {2: InputError, 1: RunError, INTERRUPTED: KeyboardInterrupt}
    if ended.status in errors:
        raise errors[ended.status](ended.message.removeprefix('hyperinr: ').removeprefix('error: '))


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a command to its end, on the machine where this function is called.

    Args:
      command: the command line.
      environment: variables added to those of this process.
    """
    done = subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        check=False,
    )
    return Ended(done.returncode, last_line(done.stderr))


def last_line(errors: bytes) -> str:
    """Return the last line of a command's standard error."""
    lines = errors.decode(errors='replace').strip().splitlines()
    return lines[-1] if lines else 'no error message'


def worker_environment(num_devices: int = 1) -> dict[str, str]:
    """Return variables that give a worker ``num_devices`` CPU devices, at least one, of one thread each.

    INRs are small, so more threads would not help.
    """
    flags = [flag for flag in os.environ.get('XLA_FLAGS', '').split() if 'device_count' not in flag]
    return {
        'NPROC': os.environ.get('NPROC', '1'),
        'XLA_FLAGS': ' '.join([*flags, f'--xla_force_host_platform_device_count={max(1, num_devices)}']),
    }
