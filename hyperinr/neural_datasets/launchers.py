"""Many workers on one store, in processes here or on a Ray cluster; what dies is started again.

A worker is a command line, so it can run anywhere that sees the folder. `slurm_launcher` submits the same commands.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from hyperinr.errors import InputError, RunError

__all__ = [
    'check_status',
    'launch_local',
    'launch_ray',
    'run_worker',
    'worker_command',
    'worker_environment',
]

MAX_RESTARTS = 5
"""Of each worker: a machine that kills it more often wants a look."""
POLL_SECONDS = 0.2
INTERRUPTED = 130


def worker_command(
    folder: str | os.PathLike, *, start: int | None, end: int | None, worker: int, num_workers: int
) -> list[str]:
    """The command line of one worker of an opened store; the store itself holds the config."""
    command = [sys.executable, '-m', 'hyperinr', 'fit', '--store', str(Path(folder).absolute())]
    for option, value in (('--start', start), ('--end', end)):
        if value is not None:
            command += [option, str(value)]
    return [*command, '--worker', f'{worker}/{num_workers}']


def worker_environment(num_devices: int = 1) -> dict[str, str]:
    """So many CPU devices for a worker, at least one, each of one thread: INRs are small."""
    flags = [flag for flag in os.environ.get('XLA_FLAGS', '').split() if 'device_count' not in flag]
    return {
        'NPROC': os.environ.get('NPROC', '1'),
        'XLA_FLAGS': ' '.join([*flags, f'--xla_force_host_platform_device_count={max(1, num_devices)}']),
    }


def launch_local(
    commands: Sequence[Sequence[str]],
    *,
    environment: Mapping[str, str] | None = None,
    on_poll: Callable[[], None] = lambda: None,
    max_restarts: int = MAX_RESTARTS,
) -> None:
    """Runs every command in a process of its own; returns when all have ended well.

    A worker that was killed is started again. One that says what is wrong ends all.

    Args:
      commands: of `worker_command`.
      environment: of each, besides this process's own; ``None``: `worker_environment`.
      on_poll: called a few times a second.
      max_restarts: of each command.

    Raises:
      InputError, RunError: what a worker reported, or that one was killed too often.
    """
    variables = worker_environment() if environment is None else environment
    workers = [_Process(command, variables) for command in commands]
    try:
        while True:
            states = [worker.poll(max_restarts) for worker in workers]
            on_poll()
            if all(states):
                return
            time.sleep(POLL_SECONDS)
    finally:
        for worker in workers:
            worker.stop()


class _Process:
    """One worker process and its successors."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._restarts = 0
        self._process: subprocess.Popen | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the processes
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=self._environment,
        )

    def poll(self, max_restarts: int) -> bool:
        """Whether it has ended well; restarts it where it was killed."""
        assert self._process is not None
        status = self._process.poll()
        if status is None or status == 0:
            return status == 0
        check_status(status, self._last_line())
        if self._restarts == max_restarts:
            raise RunError(
                f'a worker died {max_restarts + 1} times (exit status {status}): {self._last_line()}; finished shards '
                'are kept, run the command again to go on.'
            )
        self._restarts += 1
        self._start()
        return False

    def stop(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._errors.close()

    def _last_line(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors='replace').strip().splitlines()
        return lines[-1] if lines else 'it said nothing'


def check_status(status: int, message: str) -> None:
    """Raises what a worker reported; returns where it was killed or crashed, and may be started again.

    Raises:
      InputError: status 2.
      RunError: status 1.
      KeyboardInterrupt: it was interrupted.
    """
    message = message.removeprefix('hyperinr: ').removeprefix('error: ')
    if status == 2:
        raise InputError(message)
    if status == 1:
        raise RunError(message)
    if status == INTERRUPTED:
        raise KeyboardInterrupt(message)


def run_worker(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs one worker to its end, wherever this function is sent: exit status and the last line of its errors."""
    done = subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    return done.returncode, lines[-1] if lines else 'it said nothing'


def launch_ray(
    commands: Sequence[Sequence[str]], *, on_poll: Callable[[], None] = lambda: None, max_restarts: int = MAX_RESTARTS
) -> None:
    """`launch_local` on a Ray cluster: the one that ``RAY_ADDRESS`` names, or a new one on this machine.

    Every node must see the store under the same path and have hyperinr installed.

    Raises:
      InputError: Ray is not installed; and as `launch_local`.
      RunError: as `launch_local`.
    """
    try:
        import ray
    except ImportError:
        raise InputError("the launcher 'ray' needs Ray; install hyperinr[ray] or use --launcher local.") from None
    mine = not ray.is_initialized()
    if mine:
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    try:
        # Ray itself starts a task again whose node or process died; a worker's own exit status is looked at here.
        task = ray.remote(num_cpus=1, max_retries=max_restarts)(run_worker)
        environment = {**worker_environment(), 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
        waiting = {task.remote(list(command), environment): (command, 0) for command in commands}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=POLL_SECONDS)
            for reference in ready:
                command, restarts = waiting.pop(reference)
                status, message = ray.get(reference)
                if status != 0:
                    check_status(status, message)
                    if restarts == max_restarts:
                        raise RunError(f'a Ray worker died {max_restarts + 1} times: {message}; run the command again.')
                    waiting[task.remote(list(command), environment)] = (command, restarts + 1)
            on_poll()
    finally:
        if mine:
            ray.shutdown()
