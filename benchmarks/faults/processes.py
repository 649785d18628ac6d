"""Start a command, disturb it, and count what it survives."""

import dataclasses
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a process does before it becomes the command.
BECOME = '; import os, sys; os.execv(sys.argv[1], sys.argv[1:])'
# No file grows beyond so many bytes: a full disk, as far as a write can tell.
SMALL_FILES = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))'
# Permissions hold, also where root runs it: CAP_DAC_OVERRIDE (1) leaves the bounding set (PR_CAPBSET_DROP, 24).
WITHOUT_OVERRIDE = 'import ctypes; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGHUP: 75}
LIMIT_SECONDS = 300
MOST_TRIES = 30


@dataclasses.dataclass
class Count:
    """Of one kind of fault; ``lost`` counts updates or INRs beyond what is promised."""

    tried: int = 0
    survived: int = 0
    lost: int = 0
    why: list[str] = dataclasses.field(default_factory=list)

    def add(self, problems: Sequence[str], lost: int = 0) -> None:
        self.tried += 1
        self.survived += not problems and not lost
        self.lost += lost
        self.why += problems
        print('x' if problems or lost else '.', end='', file=sys.stderr, flush=True)


def tries() -> Iterator[int]:
    """Yield the numbers of tries to reach a phase.

    Raises:
      RuntimeError: it was not reached in `MOST_TRIES`.
    """
    yield from range(MOST_TRIES)
    raise RuntimeError(f'a phase was not reached in {MOST_TRIES} tries: the machine is too busy.')


class Command:
    """A running command. Its output goes to a file, or to a pipe that the caller closes.

    Args:
      words: of ``python -m hyperinr``.
      log: file for the output.
      before: Python code that runs first.
      pipe: whether the standard output is a pipe.
    """

    def __init__(self, words: Sequence[str], log: Path, *, before: str | None = None, pipe: bool = False):
        command = [sys.executable, '-m', 'hyperinr', *words]
        self._log, self._errors = log.with_suffix('.out'), log.with_suffix('.err')
        with self._log.open('w') as out, self._errors.open('w') as err:
            self.process = subprocess.Popen(
                command if before is None else [sys.executable, '-c', before + BECOME, *command],
                cwd=ROOT,
                env={**os.environ, 'PYTHONPATH': str(ROOT)},
                stdout=subprocess.PIPE if pipe else out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._log.read_text()

    @property
    def err(self) -> str:
        return self._errors.read_text()

    @property
    def lines(self) -> list[str]:
        """Of hyperinr on the standard error, without warnings of restarts."""
        return [line for line in self.err.splitlines() if line.startswith('hyperinr: ')]

    def wait_for(self, condition: Callable[[], object]) -> bool:
        """Wait for a condition; False if the command ends before."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while self.process.poll() is None:
            if condition():
                return True
            if time.monotonic() > deadline:
                raise TimeoutError(f'nothing in {LIMIT_SECONDS} s: {self.out[-300:]} {self.err[-300:]}')
            time.sleep(0.005)
        return False

    def wait(self) -> int:
        return self.process.wait(LIMIT_SECONDS)

    def children(self) -> list[int]:
        return [
            int(path.parent.name) for path in Path('/proc').glob('[0-9]*/stat') if _parent(path) == self.process.pid
        ]

    def crashed(self) -> list[str]:
        """Return what the standard error has that no fault may cause."""
        bad = [word for word in ('Traceback', 'unexpected ', 'Exception ignored', 'Fatal') if word in self.err]
        return [f'{bad[0].strip()}: {self.err[-300:]}'] if bad else []


def _parent(stat: Path) -> int:
    try:
        state, parent = stat.read_text().rpartition(')')[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == 'Z' else int(parent)


def alive(pids: Sequence[int], seconds: float = 3.0) -> list[int]:
    """Return the processes that are still there after so many seconds."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if _parent(Path(f'/proc/{pid}/stat')) != 0]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left


def read_only(folder: Path) -> Iterator[None]:
    """Take the permission to write a folder away, and give it back."""
    folders = [path for path in (folder, *folder.rglob('*')) if path.is_dir()]
    for each in folders:
        each.chmod(0o555)
    try:
        yield
    finally:
        for each in folders:
            each.chmod(0o755)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip_a_bit(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def refused(command: Command, statuses: Sequence[int], words: Sequence[str]) -> list[str]:
    """Wait for a command that must end by itself in one line with all of ``words``; return what is wrong."""
    status = command.wait()
    fine = status in statuses and len(command.lines) == 1 and all(word in command.lines[0] for word in words)
    return command.crashed() + ([] if fine else [f'status {status}: {command.err[-300:]}'])
