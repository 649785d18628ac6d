"""The processes of one run: their ranks, their shares of each batch, and their communication.

In a step each process averages the gradient of its share of the batch on its first device. One all-reduce among the
first devices of all processes then averages these vectors (docs/decisions.md). Only process 0 reads and writes the run
directory; the other processes get the state from it.
"""

import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hyperinr.errors import InputError, InterruptedRunError, RunError, first_line
from hyperinr.training.lifeline import Ending, Lifeline, listen

__all__ = ['ALONE', 'Group', 'Rank', 'find_rank', 'joined']

JOIN_SECONDS = 300
"""Time for all processes to start: a queue may start them minutes apart."""
NEWS_SECONDS = 15.0
"""Time to wait after a failed collective for the message that names the lost process."""


class Rank(NamedTuple):
    """The rank of this process in a run, and the address where the processes meet.

    Attributes:
      coordinator: ``'host:port'`` that process 0 listens on.
      num_processes: number of processes of the run.
      process: number of this process, in [0, num_processes).
    """

    coordinator: str
    num_processes: int
    process: int


def find_rank(
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process: int | None,
    environment: Mapping[str, str],
) -> Rank | None:
    """Find the rank of this process.

    Each of the three values of `Rank` is taken from the command line, else from the environment, else from Slurm.

    Args:
      distributed: whether the run has several processes.
      coordinator: value of the command line, as are the next two; see `Rank`.
      num_processes: see `Rank`.
      process: see `Rank`.
      environment: ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``; within ``srun`` also
        Slurm's variables.

    Returns:
      The rank; ``None`` for a run of one process.

    Raises:
      InputError: a value is missing or invalid.
    """
    flags = {'--coordinator': coordinator, '--num-processes': num_processes, '--process': process}
    given = [name for name, value in flags.items() if value is not None]
    if not distributed:
        if given:
            raise InputError(f'{given[0]} is for a run of several processes; add --distributed.')
        return None
    names = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
    values = [
        value if value is not None else environment.get(name) or from_slurm
        for value, name, from_slurm in zip(flags.values(), names, _of_slurm(environment), strict=True)
    ]
    missing = [f'{flag} (or {name})' for flag, name, value in zip(flags, names, values, strict=True) if value is None]
    if missing:
        raise InputError(f'--distributed outside srun needs {", ".join(missing)} as well.')
    return _checked(*map(str, values))


def _of_slurm(environment: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """Return the step's first node with a port derived from the job number, the number of tasks, and this task."""
    job, nodes = environment.get('SLURM_JOB_ID'), environment.get('SLURM_STEP_NODELIST')
    coordinator = None
    if job and nodes:
        # 'node7', 'node7,other', 'node[007-009,12]' and 'node[3,5],other' all begin with the first node.
        first = ''.join(re.findall(r'^([^,[]+)(?:\[(\d+))?', nodes)[0])
        coordinator = f'{first}:{61440 + int(job) % 4096}'
    return coordinator, environment.get('SLURM_NTASKS'), environment.get('SLURM_PROCID')


def _checked(coordinator: str, num_processes: str, process: str) -> Rank:
    host, _, port = coordinator.rpartition(':')
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f'the coordinator {coordinator!r} is no HOST:PORT; give for example node01:12345.')
    if not num_processes.isdecimal() or int(num_processes) < 1:
        raise InputError(f'the number of processes is {num_processes}; it must be at least 1.')
    if not process.isdecimal() or int(process) >= int(num_processes):
        raise InputError(f'the number of this process is {process}; it must be 0 to {int(num_processes) - 1}.')
    return Rank(coordinator, int(num_processes), int(process))


class Group:
    """The processes of a run, seen from one of them. Every process calls each method at the same point.

    Attributes:
      index: number of this process.
      count: number of processes.
    """

    def __init__(self, index: int = 0, count: int = 1):
        self.index, self.count = index, count
        if count > 1:
            firsts = [jax.local_devices(number)[0] for number in range(count)]
            mesh = Mesh(np.array(firsts), ('processes',))
            self._rows = NamedSharding(mesh, PartitionSpec('processes'))
            self._sum = jax.jit(
                lambda rows: rows.sum(axis=0, dtype=rows.dtype), out_shardings=NamedSharding(mesh, PartitionSpec())
            )

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which reads, writes and prints messages."""
        return self.index == 0

    def share(self, batch_size: int) -> slice:
        """Return this process's share of a batch; the shares are equal and in the order of the batch.

        Raises:
          InputError: the number of processes does not divide the batch.
        """
        if batch_size % self.count:
            raise InputError(
                f'BATCH_SIZE {batch_size} cannot be shared equally by {self.count} processes; make it a multiple.'
            )
        size = batch_size // self.count
        return slice(self.index * size, (self.index + 1) * size)

    def total(self, row: jax.Array) -> jax.Array:
        """Sum ``[1, P]`` on each process's first device over processes; return ``[P]`` there, bit-equal on all."""
        if self.count == 1:
            return row[0]
        rows = jax.make_array_from_single_device_arrays((self.count, *row.shape[1:]), self._rows, [row])
        return self._sum(rows).addressable_data(0)

    def broadcast(self, content: bytes) -> bytes:
        """Return the ``content`` of process 0; that of the other processes is ignored."""
        if self.count == 1:
            return content
        size = int(self._of_lead(np.array([len(content)], np.uint32))[0])
        return self._of_lead(np.frombuffer(content if self.leads else bytes(size), np.uint8)).tobytes()

    def wait_for_all(self) -> None:
        """Wait until every process has called this method."""
        self.broadcast(b'here')

    def _of_lead(self, row: np.ndarray) -> np.ndarray:
        rows = (row if self.leads else np.zeros_like(row))[None]
        return np.asarray(self.total(jax.device_put(rows, jax.local_devices()[0])))


ALONE = Group()
"""A run of one process."""


@contextlib.contextmanager
def joined(rank: Rank | None) -> Iterator[Group]:
    """Join the processes of a run while the context lasts. Call it before jax computes anything.

    Args:
      rank: rank of this process; ``None`` for a run of one process, which joins nothing.

    Raises:
      RunError: the other processes did not start. If a process is lost inside the context, the errors that follow from
        it are replaced by one line that names the process: `InterruptedRunError` if it gave no reason, else its own
        error.
    """
    if rank is None or rank.num_processes == 1:
        yield ALONE
        return
    group, lifeline = _join(rank)
    try:
        yield group
    except BaseException as error:
        lost = lifeline.ending(wait_seconds=NEWS_SECONDS if isinstance(error, jax.errors.JaxRuntimeError) else 0)
        lifeline.close(lost or _ending_of(error))
        if lost is None or isinstance(error, RunError | InputError | KeyboardInterrupt):
            raise
        raise _as_error(lost) from error
    lifeline.close()


def _join(rank: Rank) -> tuple[Group, Lifeline]:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    # A process that has left jax's service is not aborted when process 0 dies. Process 0 stays: orbax uses the service.
    jax.config.update('jax_enable_recoverability', True)
    try:
        jax.distributed.initialize(
            rank.coordinator,
            rank.num_processes,
            rank.process,
            cluster_detection_method='deactivate',
            initialization_timeout=JOIN_SECONDS,
        )
        group = Group(rank.process, rank.num_processes)
        host = rank.coordinator.rpartition(':')[0].strip('[]')
        server = listen() if group.leads else None
        port = server.getsockname()[1] if server else 0
        token, port_text = group.broadcast(f'{secrets.token_hex(16)} {port}'.encode()).decode().split()
        if not group.leads:
            jax.distributed.shutdown()
        lifeline = Lifeline(rank.process, rank.num_processes, token, (host, int(port_text)), server)
    except (jax.errors.JaxRuntimeError, OSError) as error:
        raise RunError(
            f'process {rank.process} did not meet the other {rank.num_processes - 1} at {rank.coordinator}: '
            f'{first_line(error)[:200]}; start all of them, with the same coordinator.'
        ) from error
    return group, lifeline


def _ending_of(error: BaseException) -> Ending:
    """Return the message for the other processes. Processes that have agreed to stop no longer listen."""
    kind = InterruptedRunError if isinstance(error, KeyboardInterrupt) else type(error)
    return Ending(first_line(error), getattr(kind, 'exit_status', 1))


def _as_error(lost: Ending) -> RunError | InputError:
    if lost.status == InputError.exit_status:
        return InputError(lost.message)
    if lost.status == InterruptedRunError.exit_status:
        return InterruptedRunError(f'{lost.message}; the same command goes on from the newest checkpoint.')
    return RunError(lost.message)
