"""The processes of one run: who they are, what they share of each batch, and the little that they say to each other.

In a step each process averages the gradient of its share of the batch on its first device; one all-reduce among these
first devices, one of each process, averages the vectors (docs/decisions.md). Process 0 alone reads and writes the run
directory; the others get the state from it.
"""

import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.training.lifeline import Ending, Lifeline, listen

__all__ = ['ALONE', 'Group', 'Rank', 'find_rank', 'joined']

JOIN_SECONDS = 300
"""For all processes to start: a queue may start them minutes apart."""
NEWS_SECONDS = 15.0
"""After a failed collective, for the news of who is lost to arrive."""


class Rank(NamedTuple):
    """Where this process stands among those of a run, and where they meet.

    Attributes:
      coordinator: ``'host:port'`` that process 0 listens on.
      num_processes: of the run.
      process: number of this one, in [0, num_processes).
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
    """Return what the command line says, else the environment, else Slurm; each of the three values by itself.

    Args:
      distributed: whether there are several processes at all.
      coordinator: of the command line, as the next two.
      num_processes: see `Rank`.
      process: see `Rank`.
      environment: ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES``, ``JAX_PROCESS_ID``; within ``srun`` Slurm's own.

    Returns:
      ``None`` for a run of one process.

    Raises:
      InputError: a value is missing or impossible.
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
    """Return the step's first node with a port made of the job's number, its tasks, and the number of this task."""
    job, nodes = environment.get('SLURM_JOB_ID'), environment.get('SLURM_STEP_NODELIST')
    coordinator = None
    if job and nodes:
        # 'node7', 'node7,other', 'node[007-009,12]' and 'node[3,5],other' all begin with the first node.
        first = ''.join(re.findall(r'^([^,[]+)(?:\[(\d+))?', nodes)[0])
        coordinator = f'{first}:{61440 + int(job) % 4096}'
    return coordinator, environment.get('SLURM_NTASKS'), environment.get('SLURM_PROCID')


def _checked(coordinator: str, num_processes: str, process: str) -> Rank:
    host, _, port = coordinator.rpartition(':')
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f'the coordinator {coordinator!r} is no HOST:PORT; give for example node01:12345.')
    if not num_processes.isdigit() or int(num_processes) < 1:
        raise InputError(f'the number of processes is {num_processes}; it must be at least 1.')
    if not process.isdigit() or int(process) >= int(num_processes):
        raise InputError(f'the number of this process is {process}; it must be 0 to {int(num_processes) - 1}.')
    return Rank(coordinator, int(num_processes), int(process))


class Group:
    """The processes of a run, seen from one of them. Every process calls each method at the same point.

    Attributes:
      index: of this process.
      count: of processes.
    """

    def __init__(self, index: int = 0, count: int = 1):
        self.index, self.count = index, count
        if count > 1:
            firsts: dict[int, jax.Device] = {}
            for device in jax.devices():
                firsts.setdefault(device.process_index, device)
            mesh = Mesh(np.array([firsts[number] for number in range(count)]), ('processes',))
            self._rows = NamedSharding(mesh, PartitionSpec('processes'))
            self._sum = jax.jit(lambda rows: rows.sum(axis=0), out_shardings=NamedSharding(mesh, PartitionSpec()))

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which reads, writes and talks to the user."""
        return self.index == 0

    def share(self, batch_size: int) -> slice:
        """Return the datapoints of a batch that are this process's: equal shares in the order of the batch.

        Raises:
          InputError: the processes do not divide the batch.
        """
        if batch_size % self.count:
            raise InputError(
                f'BATCH_SIZE {batch_size} cannot be shared equally by {self.count} processes; make it a multiple.'
            )
        size = batch_size // self.count
        return slice(self.index * size, (self.index + 1) * size)

    def total(self, row: jax.Array) -> jax.Array:
        """``[1, P]`` on this process's first device -> ``[P]`` there, the sum over processes, the same bits on each."""
        if self.count == 1:
            return row[0]
        rows = jax.make_array_from_single_device_arrays((self.count, *row.shape[1:]), self._rows, [row])
        return self._sum(rows).addressable_data(0)

    def broadcast(self, content: bytes) -> bytes:
        """Return what process 0 gives; the others may give anything."""
        if self.count == 1:
            return content
        size = int(self._of_lead(np.array([len(content)], np.uint32))[0])
        padded = np.zeros(-(-size // 4) * 4, np.uint8)
        if self.leads:
            padded[:size] = np.frombuffer(content, np.uint8)
        return self._of_lead(padded.view(np.uint32)).tobytes()[:size]

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        self.broadcast(b'here')

    def _of_lead(self, words: np.ndarray) -> np.ndarray:
        row = words[None] if self.leads else np.zeros_like(words)[None]
        return np.asarray(self.total(jax.device_put(row, jax.local_devices()[0])))


ALONE = Group()
"""A run of one process."""


@contextlib.contextmanager
def joined(rank: Rank | None) -> Iterator[Group]:
    """Join the processes of a run for as long as the context lasts. jax must not have computed anything before.

    Args:
      rank: ``None`` for a run of one process, where nothing is joined.

    Raises:
      RunError: the others did not come; or inside the context, in place of what a lost process causes, one line that
        names it: `InterruptedRunError` if it vanished, else what it said.
    """
    if rank is None or rank.num_processes == 1:
        yield ALONE
        return
    lifeline = None
    try:
        group, lifeline = _join(rank)
        yield group
    except BaseException as error:
        if lifeline is None:
            raise
        lost = lifeline.ending(wait_seconds=NEWS_SECONDS if isinstance(error, jax.errors.JaxRuntimeError) else 0)
        lifeline.close(lost or _ending_of(error))
        if lost is None or isinstance(error, RunError | InputError | KeyboardInterrupt):
            raise
        raise _as_error(lost) from error
    else:
        lifeline.close()


def _join(rank: Rank) -> tuple[Group, Lifeline]:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    # A process that has left jax's service is not aborted when process 0 dies. Process 0 stays in it: orbax asks it.
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
            f'{_first_line(error)[:200]}; start all of them, with the same coordinator.'
        ) from error
    return group, lifeline


def _ending_of(error: BaseException) -> Ending:
    """Return what the others are told. Those that have agreed to stop do not listen any more."""
    interrupted = isinstance(error, InterruptedRunError | KeyboardInterrupt)
    return Ending(_first_line(error), None if interrupted else getattr(error, 'exit_status', 1))


def _as_error(lost: Ending) -> RunError | InputError:
    if lost.status == InputError.exit_status:
        return InputError(lost.message)
    if lost.status is None:
        return InterruptedRunError(f'{lost.message}; the same command goes on from the newest checkpoint.')
    return RunError(lost.message)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
