"""Submit commands as a Slurm job array, through submitit."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperinr.errors import InputError
from hyperinr.launching.base import check, run_command, worker_environment
from hyperinr.runtime.extras import import_extra

__all__ = ['SlurmTask', 'launch_slurm']

DEFAULTS: Mapping[str, Any] = {'time': 60, 'cpus_per_task': 1, 'mem': '4GB'}
"""Default options of ``#SBATCH``; time in minutes."""


class SlurmTask:
    """One task of the array. It runs a command, and submitit submits it again when its time is up."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run the command; an error that it reports becomes the error of the job."""
        ended = run_command(command, environment)
        check(ended)
        if ended.status != 0:
            raise RuntimeError(f'the worker was killed (exit status {ended.status}): {ended.message}')
        return ended.status

    def checkpoint(self, command: Sequence[str], environment: Mapping[str, str]) -> Any:
        """Return the same task again: a worker itself finds the work that is still missing."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, command, environment)


def launch_slurm(
    commands: Sequence[Sequence[str]], *, folder: str | os.PathLike, options: Mapping[str, Any] | None = None
) -> list[str]:
    """Submit an array with one task for each command, and return at once. The jobs outlive this process.

    Slurm restarts a task whose node failed (``--requeue``), and submitit restarts a task whose time ran out. Workers
    complete the missing work, so the same command can submit more workers at any time.

    Args:
      commands: command lines.
      folder: folder for scripts and logs.
      options: options of ``#SBATCH`` by their names in submitit: ``{'time': 60, 'partition': 'cpu'}``.

    Returns:
      The IDs of the jobs.

    Raises:
      InputError: submitit or Slurm is missing, or Slurm does not have one of the options.
    """
    submitit = import_extra('submitit', needed_by="the launcher 'slurm'", package='submitit', extra='slurm')
    chosen = {**DEFAULTS, **(options or {})}
    try:
        executor = submitit.SlurmExecutor(folder=Path(folder))
        executor.update_parameters(job_name='hyperinr', additional_parameters={'requeue': True}, **chosen)
    except RuntimeError as error:
        raise InputError(f'no Slurm here ({error}); call this on its login node, or use --launcher local.') from error
    except (NameError, ValueError) as error:
        raise InputError(f'--slurm: {str(error).splitlines()[0]}') from error
    environment = worker_environment(int(chosen['cpus_per_task']))
    jobs = executor.map_array(SlurmTask(), [list(command) for command in commands], [environment] * len(commands))
    return [job.job_id for job in jobs]
