"""SIGKILL at any moment, the same command again: the final state is that of a run that nobody disturbed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from hyperinr.training import devices as devices_lib
from hyperinr.training.checkpoints import restore_newest, steps_in
from tests.training.tiny_run import tiny_experiment

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 60


def start(run_dir, delay):
    command = [sys.executable, '-m', 'tests.training.tiny_run', str(run_dir), '--num-steps', str(NUM_STEPS)]
    devices = {'NPROC': '8', 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
    return subprocess.Popen(
        [*command, '--delay', str(delay)],
        cwd=ROOT,
        env={**os.environ, **devices},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def final_bytes(run_dir):
    experiment = tiny_experiment(num_steps=NUM_STEPS)
    dataset = experiment.dataset()
    learner = experiment.build(dataset.spec)
    like = jax.eval_shape(learner.init, jax.random.key(0), dataset.splits['train'][0])
    found = restore_newest(run_dir / 'checkpoints', like)
    assert found.step == NUM_STEPS
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(devices_lib.pack(found.state))]


@pytest.mark.exhaustive
def test_killed_runs_end_bit_equal(tmp_path):
    undisturbed, killed = tmp_path / 'undisturbed', tmp_path / 'killed'
    process = start(undisturbed, 0.0)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said

    # At the first file, in the first save, and some steps after a resume: wherever the process happens to be then.
    def has_files():
        return killed.is_dir()

    def is_saving():
        return any(killed.glob('checkpoints/*'))

    def went_on():
        return max(steps_in(killed / 'checkpoints'), default=0) > reached + 10

    reached = 0
    for condition in (has_files, is_saving, went_on, went_on):
        reached = max(steps_in(killed / 'checkpoints'), default=0)
        process = start(killed, 0.05)
        deadline = time.monotonic() + 300
        while not condition():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert max(steps_in(killed / 'checkpoints'), default=0) < NUM_STEPS
    process = start(killed, 0.0)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert f'resuming {killed}' in said
    assert final_bytes(killed) == final_bytes(undisturbed)
    lines = (killed / 'metrics.jsonl').read_text().splitlines()
    assert sum('"train"' in line for line in lines) == NUM_STEPS
