"""Run commands on a Ray cluster. Ray chooses the node of each command and restarts a command whose node was lost."""

import os
import sys
from collections.abc import Callable, Sequence

from hyperinr.launching.base import MAX_RESTARTS, Ended, Poll, last_line, run_command, watch, worker_environment
from hyperinr.runtime.extras import import_extra

__all__ = ['launch_ray']


def launch_ray(commands: Sequence[Sequence[str]], *, on_poll: Callable[[], None] = lambda: None) -> None:
    """Run each command as a task of one core, on the cluster of ``RAY_ADDRESS`` or on a new one on this machine.

    Every node must see the same files under the same paths and have hyperinr installed.

    Args:
      commands: command lines.
      on_poll: called a few times a second.

    Raises:
      InputError: Ray is not installed.
      InputError, RunError, KeyboardInterrupt: as for `base.watch`.
    """
    ray = import_extra('ray', needed_by="the launcher 'ray'", package='Ray', extra='ray')
    mine = not ray.is_initialized()
    if mine:
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    try:
        # Ray itself restarts a task whose node or process was lost; `watch` checks the exit status of the command.
        task = ray.remote(num_cpus=1, max_retries=MAX_RESTARTS)(run_command)
        environment = {**worker_environment(), 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}

        def start(command: Sequence[str]) -> Poll:
            reference = task.remote(list(command), environment)

            def poll() -> Ended | None:
                if not ray.wait([reference], timeout=0)[0]:
                    return None
                try:
                    return ray.get(reference)
                except ray.exceptions.RayError as error:
                    return Ended(-1, last_line(str(error).encode()))

            return poll

        watch(start, commands, on_poll=on_poll)
    finally:
        if mine:
            ray.shutdown()
