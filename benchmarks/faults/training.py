"""Faults of ``hyperinr train``: the demo's config with small sizes."""

import contextlib
import json
import random
import re
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import processes
from benchmarks.faults.processes import SIGNALS, STATUS, Command, Count, flip_a_bit, refused, tries
from hyperinr.training.checkpoints import steps_in

CONFIG = 'experiment/photo_patches_siren.gin'
EVERY = 10
"""Steps between two checkpoints. A kill may lose the updates since the last but one: the last may be half written."""
SIZES = (
    'BATCH_SIZE=2',
    'siren.width=8',
    'siren.depth=2',
    'meta_learner.num_steps=1',
    'held_out_psnr.num_datapoints=2',
    "held_out_psnr.every='20 steps'",
    'convolutional.embedding_dims=8',
    'convolutional.base_channels=4',
    'convolutional.num_stages=1',
    'weight_heads.trunk=(8,)',
    'photo_patches.resolution=(16, 16)',
    'photo_patches.num_train=8',
    'photo_patches.num_validation=4',
    'photo_patches.num_test=4',
    'loop.train.log_every=10',
    f'loop.train.checkpoint_every={EVERY}',
)
PHASES = ('import', 'compile', 'step', 'evaluate', 'write')
RESUMING = re.compile(r'resuming .* at step (\d+)')
SAVED = re.compile(r'saved at step (\d+);')


class TrainingFaults:
    """Disturb one run after the other; each must end in the bits of an undisturbed one.

    Args:
      folder: for the runs.
      num_steps: of a run.
      rng: draws moments and places.
    """

    def __init__(self, folder: Path, num_steps: int, rng: random.Random):
        self._folder, self._num_steps, self._rng = folder, num_steps, rng
        self.counts: defaultdict[str, Count] = defaultdict(Count)
        self._number, self._kinds, self._expected = 0, set[str](), 0
        self.run = folder / 'undisturbed'
        undisturbed = self._start()  # Prepares the data and compiles.
        undisturbed.wait_for(lambda: 'compiled in' in undisturbed.out)
        began = time.monotonic()
        assert undisturbed.wait() == 0, undisturbed.err
        self._seconds = time.monotonic() - began
        self._final = self._state()
        self.run = folder / 'run0'
        began = time.monotonic()
        command = self._start()
        command.wait_for(lambda: 'compiled in' in command.out)
        self._start_seconds = time.monotonic() - began
        command.process.kill()
        command.wait()
        self._expected = self._newest()

    def _start(self, **options: object) -> Command:
        words = [word for size in (*SIZES, f'NUM_STEPS={self._num_steps}') for word in ('-p', size)]
        log = self._folder / f'log{len(list(self._folder.glob("log*.out")))}'
        return Command(['train', CONFIG, '--run', str(self.run), *words], log, **options)  # type: ignore[arg-type]

    def _newest(self) -> int:
        return max(steps_in(self.run / 'checkpoints'), default=0)

    def _state(self) -> list[bytes]:
        import jax
        import numpy as np
        import orbax.checkpoint

        path = (self.run / 'checkpoints' / str(self._newest()) / 'state').absolute()
        return [
            np.asarray(leaf).tobytes()
            for leaf in jax.tree.leaves(orbax.checkpoint.StandardCheckpointer().restore(path))
        ]

    def _reach(self, command: Command, phase: str) -> bool:
        """Wait for a moment in a phase; False if the command ends before."""
        if phase in ('import', 'compile'):
            low, high = (0.1, 0.5) if phase == 'import' else (0.5, 1.0)
            time.sleep(self._start_seconds * self._rng.uniform(low, high))
        elif phase == 'write':
            writing = lambda: next((self.run / 'checkpoints').glob('*.orbax-checkpoint-tmp'), None)
            return command.wait_for(lambda: 'compiled in' in command.out and writing())
        else:
            # A report comes just before the evaluation that is due at the same step.
            found = command.wait_for(lambda: re.search(r'^step \d+', command.out, re.MULTILINE))
            time.sleep(self._seconds * self._rng.uniform(0, 0.15) if phase == 'step' else 0.0)
            return found and command.process.poll() is None
        return command.process.poll() is None

    def _resumed(self, command: Command) -> list[str]:
        """Return what is wrong with the step that a start went on from."""
        found = RESUMING.search(command.out)
        began = int(found[1]) if found else 0
        if found or 'compiled in' in command.out:
            return [] if began == self._expected else [f'went on at {began}, not {self._expected}: {command.out[:300]}']
        return []

    def _ended(self, kind: str, command: Command, problems: list[str]) -> None:
        """Count a fault whose command has ended."""
        problems = problems + command.crashed() + self._resumed(command)
        lost = max(0, self._expected - self._newest())
        logged = [json.loads(line)['step'] for line in _whole_lines(self.run / 'metrics.jsonl')]
        if kind == 'SIGKILL':
            lost = max(lost, max(logged, default=0) - self._newest() - 2 * EVERY)
        saved = SAVED.search(command.err)
        if saved and int(saved[1]) != self._newest():
            problems.append(f'not saved: {command.err}')
        self.counts[kind].add(problems, lost)
        self._kinds.add(kind)
        self._expected = self._newest()

    def _fault(self, kind: str, phase: str, strike: Callable[[Command], None], judge: Callable[[Command], list[str]],
               **options: object) -> None:  # fmt: skip
        """Start, strike in a phase, wait for the end and judge it; begin again where the run was complete before."""
        for _ in tries():
            self._leave_a_complete_run()
            command = self._start(**options)
            if self._reach(command, phase):
                strike(command)
                command.wait()
                if command.process.returncode != 0:
                    self._ended(kind, command, judge(command))
                    return
            command.wait()

    def _leave_a_complete_run(self) -> None:
        if self._newest() >= self._num_steps:
            self.complete()

    def complete(self) -> None:
        """Train to the end, compare with the undisturbed run, and begin another run."""
        command = self._start()
        problems = [] if command.wait() == 0 else [f'status {command.process.returncode}: {command.err[-300:]}']
        problems += self._resumed(command)
        if problems or self._state() != self._final:
            for kind in self._kinds:
                self.counts[kind].survived = 0
                self.counts[kind].why += problems or ['other final bits']
        self._number, self._kinds, self._expected = self._number + 1, set(), 0
        self.run = self._folder / f'run{self._number}'

    def kill(self) -> None:
        phase = self._rng.choice(PHASES)
        self._fault('SIGKILL', phase, lambda command: command.process.kill(), lambda command: [])

    def signal(self, number: signal.Signals, phase: str) -> None:
        def judge(command: Command) -> list[str]:
            fine = command.process.returncode == STATUS[number] and len(command.lines) == 1
            fine &= bool(SAVED.search(command.err)) or 'step ' not in command.out.partition('compiled in')[2]
            return [] if fine else [f'{phase}: status {command.process.returncode}, {command.err[-300:]}']

        self._fault(f'{number.name}, {phase}', phase, lambda command: command.process.send_signal(number), judge)

    def closed_pipe(self) -> None:
        def strike(command: Command) -> None:
            assert command.process.stdout
            for _ in range(self._rng.randrange(1, 4)):
                command.process.stdout.readline()
            command.process.stdout.close()

        def judge(command: Command) -> list[str]:
            fine = command.process.returncode == 75 and 'the standard output was closed' in command.err
            return [] if fine else [f'status {command.process.returncode}, {command.err[-300:]}']

        self._fault('closed pipe', 'import', strike, judge, pipe=True)

    def damage(self) -> None:
        """Damage the newest checkpoint; the next start goes on from the one before."""
        for _ in tries():
            steps = steps_in(self.run / 'checkpoints')
            if len(steps) >= 2 and steps[-1] < self._num_steps:
                break
            self._fault('SIGKILL', 'step', lambda command: command.process.kill(), lambda command: [])
        files = [path for path in (self.run / 'checkpoints' / str(steps[-1])).glob('*/**/*') if path.is_file()]
        path = max(files, key=lambda path: path.stat().st_size)
        self._rng.choice((lambda: flip_a_bit(path, self._rng), path.unlink, lambda: path.write_bytes(b'')))()
        self._expected = steps[-2]
        self._fault('damaged checkpoint', 'step', lambda command: command.process.kill(), lambda command: [])

    def full_disk(self) -> None:
        self._leave_a_complete_run()
        before = processes.SMALL_FILES.format(2000)
        problems = refused(command := self._start(before=before), (1, 2), ('the disk is full', str(self.run)))
        self._ended('full disk', command, problems)

    def read_only(self) -> None:
        self._leave_a_complete_run()
        self.run.mkdir(exist_ok=True)
        with contextlib.contextmanager(processes.read_only)(self.run):
            command = self._start(before=processes.WITHOUT_OVERRIDE)
            problems = refused(command, (2,), ('no permission', str(self.run)))
        self._ended('read-only folder', command, problems)

    def all(self, *, kills: int, signals: int) -> None:
        """Try every kind of fault, and the first ``signals`` of the signals in each phase."""
        for _ in range(kills):
            self.kill()
        for phase in PHASES:
            for number in SIGNALS[: min(signals, 2) if phase == 'import' else signals]:
                self.signal(number, phase)
        for fault in (self.closed_pipe, self.damage, self.full_disk, self.read_only):
            fault()
        self.complete()
        shutil.rmtree(self.run, ignore_errors=True)


def _whole_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.endswith('}')] if path.exists() else []
