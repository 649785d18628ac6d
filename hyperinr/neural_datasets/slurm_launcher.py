"""Workers of a store as a Slurm job array, submitted through submitit."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperinr.errors import InputError
from hyperinr.neural_datasets.launchers import check_status, run_worker, worker_environment

__all__ = ['SlurmWorker', 'launch_slurm']

DEFAULTS: Mapping[str, Any] = {'time': 60, 'cpus_per_task': 1, 'mem': '4GB'}
"""Of ``#SBATCH``; time in minutes."""


class SlurmWorker:
    """One task of the array; submitit takes it along and asks it what to do when its time is up."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Runs the worker; an error of it is the job's."""
        status, message = run_worker(command, environment)
        check_status(status, message)
        if status != 0:
            raise RuntimeError(f'the worker was killed (exit status {status}): {message}')
        return status

    def checkpoint(self, command: Sequence[str], environment: Mapping[str, str]) -> Any:
        """The same again after a time limit or a preemption: the store knows what is missing."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, command, environment)


def launch_slurm(
    commands: Sequence[Sequence[str]], *, folder: str | os.PathLike, options: Mapping[str, Any] | None = None
) -> list[str]:
    """Submits one array with a task for each command, and returns: the jobs outlive this process.

    Slurm starts a task again whose node failed (``--requeue``), submitit one whose time ran out. Since workers complete
    whatever is missing, the same command submits further ones at any time.

    Args:
      commands: of `worker_command`.
      folder: for scripts and logs.
      options: of ``#SBATCH``, in submitit's names: ``{'time': 60, 'partition': 'cpu'}``.

    Returns:
      Names of the jobs.

    Raises:
      InputError: submitit or Slurm is missing, or an option that Slurm does not have.
    """
    try:
        import submitit
    except ImportError:
        raise InputError("the launcher 'slurm' needs submitit; install hyperinr[slurm].") from None
    try:
        executor = submitit.SlurmExecutor(folder=Path(folder))
    except RuntimeError as error:
        raise InputError(f'no Slurm here ({error}); call this on its login node, or use --launcher local.') from error
    try:
        executor.update_parameters(
            job_name='hyperinr-fit', additional_parameters={'requeue': True}, **{**DEFAULTS, **(options or {})}
        )
    except (NameError, ValueError) as error:
        raise InputError(f'--slurm: {str(error).splitlines()[0]}') from error
    environment = worker_environment(int({**DEFAULTS, **(options or {})}['cpus_per_task']))
    jobs = executor.map_array(SlurmWorker(), [list(command) for command in commands], [environment] * len(commands))
    return [job.job_id for job in jobs]
