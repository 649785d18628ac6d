"""Faults at random points of training, and what is left of the run.

``python -m tests.training.fault_test FOLDER CONFIG [-p BINDING ...] --kills 10``: trains ``FOLDER/faulty`` under
SIGKILL at random moments, with the newest checkpoint cut short, changed in one bit or without one of its files, with a
full disk, a run folder that cannot be written to, a preemption notice, and checkpoints that are all damaged or gone.
Trains ``FOLDER/undisturbed`` without. A fault counts as survived when training went on from the newest sound one,
or said in one line why not; as lost when it began again at step 0, went on from anything else, or left a traceback. In
the end both runs must hold the same bits. ``toy`` instead of a config trains the learner of `tests.training.toy`.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESUMING = re.compile(r'resuming .* at step (\d+)')
REQUEUE = 75


def steps_in(run_dir):
    folder = run_dir / 'checkpoints'
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def checksum(run_dir):
    """Of the last state's leaves."""
    import jax
    import orbax.checkpoint

    path = (run_dir / 'checkpoints' / str(steps_in(run_dir)[-1]) / 'state').absolute()
    leaves = jax.tree.leaves(orbax.checkpoint.StandardCheckpointer().restore(path))
    return hashlib.sha256(b''.join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()


def cut_short(folder, rng):
    path = rng.choice(_files(folder))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(folder, rng):
    path = max(_files(folder), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def lose_a_file(folder, rng):
    rng.choice(_files(folder)).unlink()


def _files(folder):
    """Those that hold the state, its description and their digests; the others are notes of orbax for itself."""
    return [path for path in [*folder.glob('*/**/*'), folder / 'SHA256SUMS'] if path.is_file() and path.stat().st_size]


DAMAGES = (cut_short, flip_a_bit, lose_a_file)


# What a process does before it becomes the command: a caller with threads, as jax has, must not fork and run Python.
BECOME = '; import os, sys; os.execv(sys.argv[1], sys.argv[1:])'
# No file grows beyond so many bytes: a full disk, as far as a write can tell.
SMALL_FILES = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))'
# Permissions hold, also where root runs it: CAP_DAC_OVERRIDE (1) leaves the bounding set (PR_CAPBSET_DROP, 24).
WITHOUT_OVERRIDE = 'import ctypes; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)'


class Faults:
    """Runs a training command and disturbs it.

    Args:
      command: ``(run_dir) -> words``.
      run_dir: of the disturbed run.
      num_steps: that it takes.
      seed: of moments and places.
      environment: of the processes.
    """

    def __init__(self, command, run_dir, *, num_steps, seed=0, environment=None):
        self._command, self.run_dir, self._num_steps = command, Path(run_dir), num_steps
        self._rng = random.Random(seed)
        self._environment = {**os.environ, 'PYTHONPATH': str(ROOT), **(environment or {})}
        self.report = {'tried': 0, 'survived': 0, 'lost': []}

    def start(self, before=None):
        began = time.time()
        command = self._command(self.run_dir)
        process = subprocess.Popen(
            command if before is None else [sys.executable, '-c', before + BECOME, *command],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.began = began
        return process

    def _wait_until_training(self, process, after):
        """Until the process has written a checkpoint of a step beyond ``after``, or has ended."""
        deadline, folder = time.monotonic() + 600, self.run_dir / 'checkpoints'
        while process.poll() is None:
            with contextlib.suppress(OSError):
                newer = [
                    folder / str(step) / 'metadata' / 'metadata' for step in steps_in(self.run_dir) if step > after
                ]
                if any(path.is_file() and path.stat().st_ctime > process.began for path in newer):
                    return
            assert time.monotonic() < deadline, 'no new checkpoint in ten minutes'
            time.sleep(0.005)

    def _count(self, name, survived, why):
        self.report['tried'] += 1
        if survived:
            self.report['survived'] += 1
        else:
            self.report['lost'].append(f'{name}: {why[-300:]}')

    def kill(self, *, max_wait_seconds, sound=None, name='kill'):
        """Starts, kills at a random moment, and checks where the start went on from.

        Args:
          max_wait_seconds: after the start went on.
          sound: the step that it must go on from; ``None``: the newest.
          name: of the fault before this start.
        """
        before = steps_in(self.run_dir)
        expected = (before[-1] if before else 0) if sound is None else sound
        process = self.start()
        proves = self._rng.random() < 0.8 or sound is not None
        if proves:
            self._wait_until_training(process, expected)
        time.sleep(self._rng.uniform(0, max_wait_seconds))
        process.kill()
        out, err = process.communicate()
        found = RESUMING.search(out)
        began = int(found.group(1)) if found else None
        ended_by_kill = process.returncode in (-signal.SIGKILL, 0)
        # A start that was killed before it said anything proves nothing yet; the next one goes on from the same step.
        fine = began == expected or (began is None and (expected == 0 or not (proves or _trained(out))))
        fine &= ended_by_kill and 'Traceback' not in err
        self._count(name, fine, f'expected to go on at {expected}, {out} {err}')

    def damage(self, how, *, max_wait_seconds=0.0):
        """Damages the newest checkpoint; the next start must go on from the one before."""
        while len(steps := steps_in(self.run_dir)) < 2:
            self.kill(max_wait_seconds=1.0)
        how(self.run_dir / 'checkpoints' / str(steps[-1]), self._rng)
        self.kill(max_wait_seconds=max_wait_seconds, sound=steps[-2], name=how.__name__)

    def refuses(self, name, statuses, words, *, before=None):
        """A start that must end by itself, in one line with all of ``words``, and change no checkpoint."""
        steps = steps_in(self.run_dir)
        process = self.start(before)
        out, err = process.communicate(timeout=900)
        lines = [line for line in err.splitlines() if line.startswith('hyperinr: ')]
        fine = process.returncode in statuses and len(lines) == 1 and all(word in lines[0] for word in words)
        fine &= 'Traceback' not in err
        fine &= steps_in(self.run_dir) == steps
        self._count(name, fine, f'status {process.returncode}, {out} {err}')

    def full_disk(self, size):
        self.refuses('full disk', (1, 2), (str(self.run_dir),), before=SMALL_FILES.format(size))

    def read_only(self):
        """A run folder without permission to write."""
        folders = [path for path in (self.run_dir, *self.run_dir.rglob('*')) if path.is_dir()]
        for folder in folders:
            folder.chmod(0o555)
        try:
            self.refuses('read-only folder', (2,), ('no permission', str(self.run_dir)), before=WITHOUT_OVERRIDE)
        finally:
            for folder in folders:
                folder.chmod(0o755)

    def notice(self, number):
        """A preemption notice in mid-training; seconds from it to the end of the process."""
        process = self.start()
        self._wait_until_training(process, steps_in(self.run_dir)[-1])
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=600)
        seconds = time.monotonic() - began
        saved = steps_in(self.run_dir)[-1]
        fine = process.returncode == REQUEUE and f'saved at step {saved};' in err
        self._count(signal.Signals(number).name, fine, f'status {process.returncode}, {out} {err}')
        return seconds

    def without_checkpoints(self, folder):
        """All checkpoints damaged, then all gone: refused, in a copy of the run."""
        original, self.run_dir = self.run_dir, Path(folder)
        shutil.copytree(original, self.run_dir)
        for step in steps_in(self.run_dir):
            flip_a_bit(self.run_dir / 'checkpoints' / str(step), self._rng)
        self.refuses('all checkpoints damaged', (2,), ('none of the checkpoints', 'can be read'))
        shutil.rmtree(self.run_dir / 'checkpoints')
        self.refuses('all checkpoints gone', (2,), ('its checkpoints are gone',))
        self.run_dir = original

    def finish(self, run_dir=None):
        """Trains to the end, undisturbed; the checksum of the final state."""
        original, self.run_dir = self.run_dir, Path(run_dir or self.run_dir)
        process = self.start()
        out, err = process.communicate(timeout=7200)
        assert process.returncode == 0, out + err
        assert steps_in(self.run_dir)[-1] == self._num_steps
        found, self.run_dir = checksum(self.run_dir), original
        return found


def _trained(out):
    return re.search(r'^step \d+', out, re.MULTILINE) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('config', help='of `hyperinr train`, or toy')
    parser.add_argument('-p', '--param', action='append', default=[])
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--num-steps', type=int, default=400)
    parser.add_argument('--checkpoint-every', type=int, default=5)
    parser.add_argument('--max-wait', type=float, default=2.0, help='seconds of training before a kill, at most')
    parser.add_argument('--disk', type=int, default=2000, help='bytes that a file may have when the disk is full')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    bindings = [f'NUM_STEPS={options.num_steps}', f'loop.train.checkpoint_every={options.checkpoint_every}']
    words = [word for binding in options.param + bindings for word in ('-p', binding)]
    train = [sys.executable, '-m', 'hyperinr', 'train', options.config, '--keep-compiled', *words]
    command = lambda run_dir: [*train, '--run', str(run_dir)]
    if options.config == 'toy':
        toy = [sys.executable, '-m', 'tests.training.toy_run', '--num-steps', str(options.num_steps), '--delay', '0.01']
        command = lambda run_dir: [*toy, '--checkpoint-every', str(options.checkpoint_every), str(run_dir)]
    faults = Faults(command, options.folder / 'faulty', num_steps=options.num_steps, seed=options.seed)
    for _ in range(options.kills):
        faults.kill(max_wait_seconds=options.max_wait)
    for how in DAMAGES:
        faults.damage(how)
    faults.full_disk(options.disk)
    faults.read_only()
    seconds = {number.name: round(faults.notice(number), 2) for number in (signal.SIGTERM, signal.SIGUSR1)}
    faults.without_checkpoints(options.folder / 'without')
    equal = faults.finish() == faults.finish(options.folder / 'undisturbed')
    print(json.dumps({**faults.report, 'seconds_from_notice_to_exit': seconds, 'bit_equal': equal}))
    return 0 if equal and not faults.report['lost'] else 1


if __name__ == '__main__':
    sys.exit(main())
