"""Faults of ``hyperinr fit`` with several workers: small SIRENs of the digits."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import processes
from benchmarks.faults.processes import SIGNALS, STATUS, Command, Count, alive, digest, flip_a_bit, refused, tries

CONFIG = 'neural_dataset/mnist_5k.gin'
SHARD_SIZE = 5
SIZES = (
    'mnist_5k.resolution=(8, 8)',
    'siren.width=8',
    'siren.depth=1',
    f'neural_dataset.shard_size={SHARD_SIZE}',
    f'neural_dataset.num_parallel={SHARD_SIZE}',
)


class FittingFaults:
    """Disturb the fitting of one store after the other; each must end in the bytes of an undisturbed one.

    Args:
      folder: for the stores.
      num_inrs: of a store.
      num_steps: of each fit.
      num_workers: of the command.
      rng: draws moments and places.
    """

    def __init__(self, folder: Path, num_inrs: int, num_steps: int, num_workers: int, rng: random.Random):
        self._folder, self._rng = folder, rng
        sizes = [word for size in (*SIZES, f'NUM_STEPS={num_steps}') for word in ('-p', size)]
        self._words = [CONFIG, '--end', str(num_inrs), '--workers', str(num_workers), *sizes]
        self.counts: defaultdict[str, Count] = defaultdict(Count)
        self._number, self._kinds = 0, set[str]()
        self._running: Command | None = None
        self.store = folder / 'undisturbed'
        began = time.monotonic()
        command = self._start()
        command.wait_for(self._shards)
        self._start_seconds = time.monotonic() - began
        assert command.wait() == 0, command.err
        self._final = self._shards()
        self.store = folder / 'store0'

    def _start(self, **options: object) -> Command:
        log = self._folder / f'log{len(list(self._folder.glob("log*.out")))}'
        return Command(['fit', *self._words, '--store', str(self.store)], log, **options)  # type: ignore[arg-type]

    def _shards(self) -> dict[str, str]:
        return {path.name: digest(path) for path in self.store.glob('weights-*')}

    def _lost(self, before: dict[str, str]) -> int:
        now = self._shards()
        return SHARD_SIZE * sum(now.get(name) != content for name, content in before.items())

    def _count(self, kind: str, problems: list[str], before: dict[str, str]) -> None:
        self.counts[kind].add(problems, self._lost(before))
        self._kinds.add(kind)

    def _command(self) -> Command:
        """Return a running command with its workers; start it, or another store, where there is none."""
        for _ in tries():
            if self._running is None or self._running.process.poll() is not None:
                if len(self._shards()) == len(self._final):
                    self.complete()
                self._running = self._start()
            if self._running.wait_for(self._running.children):
                return self._running
        raise AssertionError('tries raises')

    def _names(self) -> set[str]:
        return {path.name for path in self.store.glob('weights-*')}

    def _reach(self, command: Command, phase: str) -> bool:
        """Wait for a moment in a phase; False if the command ends before."""
        before = self._names()
        if phase == 'import':
            time.sleep(self._start_seconds * self._rng.uniform(0.1, 0.3))
        elif command.wait_for(lambda: self._names() - before):
            time.sleep(self._rng.uniform(0, 1))
        return command.process.poll() is None

    def complete(self) -> None:
        """Fit to the end, compare with the undisturbed store, and begin another one."""
        command = self._running or self._start()
        if command.wait() != 0:
            command = self._start()
        problems = [] if command.wait() == 0 else [f'status {command.process.returncode}: {command.err[-300:]}']
        if problems or self._shards() != self._final:
            for kind in self._kinds:
                self.counts[kind].survived = 0
                self.counts[kind].why += problems or ['other final bytes']
        self._running, self._kinds, self._number = None, set(), self._number + 1
        self.store = self._folder / f'store{self._number}'

    def kill(self) -> None:
        """Kill a worker, the launcher, or all processes at a random moment."""
        for _ in tries():
            command = self._command()
            reached = self._reach(command, self._rng.choice(('import', 'fit')))
            workers = command.children()
            if reached and workers:
                break
        before, whom = self._shards(), self._rng.choice(('a worker', 'the launcher', 'all'))
        killed = [self._rng.choice(workers)] if whom == 'a worker' else [command.process.pid]
        for pid in killed + (workers if whom == 'all' else []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        problems = []
        if whom != 'a worker':
            command.wait()
            problems = [f'{len(left)} workers are left' for left in [alive(workers)] if left]
        self._count(f'SIGKILL, {whom}', problems + command.crashed(), before)

    def _ends(self, kind: str, strike: Callable[[Command], None], status: int, phase: str, **options: object) -> None:
        for _ in tries():
            if len(self._shards()) == len(self._final):
                self.complete()
            before, command = self._shards(), self._start(**options)
            reached = self._reach(command, phase)
            workers = command.children()
            if reached:
                strike(command)
            if command.wait() != 0:
                break
        problems = [f'{len(left)} workers are left' for left in [alive(workers)] if left]
        if command.process.returncode != status or len(command.lines) != 1:
            problems.append(f'status {command.process.returncode}: {command.err[-300:]}')
        self._count(kind, problems + command.crashed(), before)

    def signal(self, number: signal.Signals, phase: str) -> None:
        self._stop()
        strike = lambda command: command.process.send_signal(number)
        self._ends(f'{number.name}, {phase}', strike, STATUS[number], phase)

    def closed_pipe(self) -> None:
        self._stop()

        def strike(command: Command) -> None:
            assert command.process.stdout
            command.process.stdout.readline()
            command.process.stdout.close()

        self._ends('closed pipe', strike, 75, 'import', pipe=True)

    def _stop(self) -> None:
        if self._running is not None and self._running.process.poll() is None:
            self._running.process.terminate()
            self._running.wait()
        self._running = None

    def full_disk(self) -> None:
        self._stop()
        before, command = self._shards(), self._start(before=processes.SMALL_FILES.format(1000))
        self._count('full disk', refused(command, (1, 2), ('the disk is full',)), before)

    def read_only(self) -> None:
        self._stop()
        self.store.mkdir(exist_ok=True)
        before = self._shards()
        with contextlib.contextmanager(processes.read_only)(self.store):
            command = self._start(before=processes.WITHOUT_OVERRIDE)
            problems = refused(command, (2,), ('no permission', str(self.store)))
        self._count('read-only folder', problems, before)

    def damage(self) -> None:
        """Change a bit of a shard; ``verify --repair`` names and drops it, and the same fit makes it again."""
        for _ in tries():
            if self._names():
                break
            self._reach(self._command(), 'fit')
        self._stop()
        shard = self._rng.choice(sorted(self.store.glob('weights-*')))
        flip_a_bit(shard, self._rng)
        before = self._shards()
        del before[shard.name]
        words = ['verify', '--store', str(self.store), '--repair', '--samples', '0']
        done = subprocess.run(
            [sys.executable, '-m', 'hyperinr', *words], cwd=processes.ROOT, capture_output=True, text=True, check=False
        )
        fine = done.returncode == 1 and f'dropped {shard.name}' in done.stdout and not shard.exists()
        self._count('damaged shard', [] if fine else [done.stdout + done.stderr], before)

    def all(self, *, kills: int, signals: int) -> None:
        """Try every kind of fault, and the first ``signals`` of the signals in each phase."""
        for _ in range(kills):
            self.kill()
        for phase in ('import', 'fit'):
            for number in SIGNALS[:signals]:
                self.signal(number, phase)
        for fault in (self.closed_pipe, self.damage, self.full_disk, self.read_only):
            fault()
        self.complete()
