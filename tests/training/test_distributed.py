"""Two processes of two CPU devices on the loopback interface, against one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.training.checkpoints import steps_in
from hyperinr.training.distributed import ALONE, Group, Rank, find_rank
from hyperinr.training.input_pipeline import Positions
from hyperinr.training.loop import train
from tests.training.toy import toy_experiment

ROOT = Path(__file__).resolve().parents[2]
GLOO = '[Gloo]'
"""Gloo says on standard output that it is connected."""

SLURM = {'SLURM_JOB_ID': '5000', 'SLURM_STEP_NODELIST': 'gpu[07-09,12],other', 'SLURM_NTASKS': '8', 'SLURM_PROCID': '3'}
JAX = {'JAX_COORDINATOR_ADDRESS': 'there:11', 'JAX_NUM_PROCESSES': '4', 'JAX_PROCESS_ID': '0'}


@pytest.mark.parametrize(
    ('flags', 'environment', 'rank'),
    [
        (('here:22', 2, 1), {}, Rank('here:22', 2, 1)),
        (('[::1]:22', 2, 0), JAX | SLURM, Rank('[::1]:22', 2, 0)),
        ((None, None, None), JAX | SLURM, Rank('there:11', 4, 0)),
        ((None, None, None), SLURM, Rank('gpu07:62344', 8, 3)),
        ((None, None, None), SLURM | {'SLURM_STEP_NODELIST': 'n1,n2'}, Rank('n1:62344', 8, 3)),
        ((None, None, None), SLURM | {'SLURM_STEP_NODELIST': 'n[3,5],m'}, Rank('n3:62344', 8, 3)),
        ((None, None, None), SLURM | {'SLURM_STEP_NODELIST': 'login'}, Rank('login:62344', 8, 3)),
        ((None, None, None), SLURM | {'JAX_COORDINATOR_ADDRESS': 'there:11'}, Rank('there:11', 8, 3)),
    ],
)
def test_the_rank_comes_from_flags_else_the_environment_else_slurm(flags, environment, rank):
    assert find_rank(True, *flags, environment) == rank


@pytest.mark.parametrize(
    ('distributed', 'flags', 'message'),
    [
        (
            True,
            (None, None, None),
            r'needs --coordinator \(or JAX_COORDINATOR_ADDRESS\), --num-processes .*, --process',
        ),
        (True, ('here:22', 2, None), r'needs --process \(or JAX_PROCESS_ID\) as well'),
        (False, (None, 2, None), '--num-processes is for a run of several processes; add --distributed'),
        (True, ('here', 2, 0), "'here' is no HOST:PORT"),
        (True, ('here:99999', 2, 0), 'no HOST:PORT'),
        (True, ('here:22', 0, 0), 'the number of processes is 0'),
        (True, ('here:22', 2, 2), 'the number of this process is 2; it must be 0 to 1'),
        (True, ('here:22', 2, -1), 'the number of this process is -1'),
    ],
)
def test_a_rank_that_is_half_given_or_impossible_is_refused(distributed, flags, message):
    with pytest.raises(InputError, match=message):
        find_rank(distributed, *flags, {})


def test_one_process_needs_no_rank():
    assert find_rank(False, None, None, None, JAX | SLURM) is None


def test_the_shares_of_a_batch_are_all_of_it():
    groups = [object.__new__(Group) for _ in range(3)]
    for index, group in enumerate(groups):
        group.index, group.count = index, 3
    assert [list(range(12))[group.share(12)] for group in groups] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(InputError, match='BATCH_SIZE 13 cannot be shared equally by 3 processes'):
        groups[0].share(13)


def test_alone_nothing_is_averaged_and_nothing_is_sent():
    row = jax.numpy.arange(3.0)[None]
    np.testing.assert_array_equal(ALONE.total(row), [0, 1, 2])
    assert ALONE.broadcast(b'word') == b'word'
    assert ALONE.leads


class Pair:
    """Two processes of one run."""

    def __init__(self, run_dir, *options, folder):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            coordinator = f'127.0.0.1:{free.getsockname()[1]}'
        devices = {'NPROC': '1', 'XLA_FLAGS': '--xla_force_host_platform_device_count=2', 'TF_CPP_MIN_LOG_LEVEL': '2'}
        command = [sys.executable, '-m', 'tests.training.toy_run', str(run_dir), '--coordinator', coordinator, *options]
        self.processes = [
            subprocess.Popen(
                [*command, '--num-processes', '2', '--process', str(index)]
                + ['--out', str(folder / f'{index}.npz'), '--record', str(folder / f'{index}.read')],
                cwd=ROOT,
                env={**os.environ, **devices},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(2)
        ]

    def wait_for_checkpoint(self, run_dir, after):
        deadline = time.monotonic() + 300
        while max(steps_in(run_dir / 'checkpoints'), default=0) <= after:
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in self.processes), self.ends()
            time.sleep(0.01)

    def ends(self):
        """Status, standard output without Gloo's lines and standard error of each."""
        found = []
        for process in self.processes:
            out, err = process.communicate(timeout=300)
            lines = [line for line in out.splitlines() if not line.startswith(GLOO)]
            found.append((process.returncode, lines, err))
        return found


@pytest.fixture
def pair(tmp_path):
    """Starts two processes; none is left afterwards."""
    pairs = []

    def start(run_dir, *options):
        pairs.append(Pair(run_dir, *options, folder=tmp_path))
        return pairs[-1]

    yield start
    for each in pairs:
        for process in each.processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The parameters that one process of eight devices ends with, for a number of steps."""
    known = {}

    def run(num_steps):
        if num_steps not in known:
            run_dir = tmp_path_factory.mktemp('alone') / 'run'
            state = train(toy_experiment(num_steps=num_steps), run_dir)
            known[num_steps] = jax.tree.map(np.asarray, state.params['head'])
        return known[num_steps]

    return run


def assert_agree(parameters, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(parameters[name], values, rtol=0, atol=1e-5 * max(1.0, np.abs(values).max()))


@pytest.mark.exhaustive
def test_two_processes_train_what_one_does(pair, alone, tmp_path):
    statuses, outs, errs = zip(*pair(tmp_path / 'run').ends(), strict=True)
    assert statuses == (0, 0), errs
    assert outs[1] == ['devices 4 2']
    assert any('on 2 cpu devices in each of 2 processes' in line for line in outs[0])
    found = [dict(np.load(tmp_path / f'{index}.npz')) for index in range(2)]
    assert int(found[0]['step']) == 7
    for name, values in found[0].items():
        assert values.tobytes() == found[1][name].tobytes()
    assert_agree(found[0], alone(7))
    assert steps_in(tmp_path / 'run' / 'checkpoints') == [6, 7]
    lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
    assert sum('"train"' in line for line in lines) == 7
    positions = Positions(20, 8, 0)
    for index, share in enumerate((slice(4), slice(4, 8))):
        read = (tmp_path / f'{index}.read').read_text().splitlines()
        expected = [' '.join(map(str, positions(step)[0][share])) for step in range(7)]
        assert read[-7:] == expected


@pytest.mark.exhaustive
def test_a_signal_to_one_stops_both_and_a_lost_one_ends_the_other_and_the_run_goes_on(pair, alone, tmp_path):
    run_dir, options = tmp_path / 'run', ('--num-steps', '200', '--delay', '0.05')

    running = pair(run_dir, *options)
    running.wait_for_checkpoint(run_dir, after=0)
    running.processes[1].send_signal(signal.SIGUSR1)
    ends = running.ends()
    saved = steps_in(run_dir / 'checkpoints')[-1]
    line = f'hyperinr: interrupted: saved at step {saved}; the same command goes on from there\n'
    assert [(status, err) for status, _, err in ends] == [(75, line)] * 2

    for lost, other in ((0, 1), (1, 0)):
        before = steps_in(run_dir / 'checkpoints')[-1]
        running = pair(run_dir, *options)
        running.wait_for_checkpoint(run_dir, after=before)
        running.processes[lost].kill()
        began = time.monotonic()
        status, out, err = running.ends()[other]
        assert time.monotonic() - began < 60
        assert (status, err.count('\n')) == (75, 1), err
        assert err.startswith(f'hyperinr: process {lost} was lost: ')
        assert err.endswith('the same command goes on from the newest checkpoint.\n')
        assert other == 1 or f'resuming {run_dir} at step {before}' in out

    state = train(toy_experiment(num_steps=200), run_dir, checkpoint_every=50, log_every=1)
    assert_agree(state.params['head'], alone(200))


@pytest.mark.exhaustive
def test_what_fails_in_one_process_is_said_by_both(pair, tmp_path):
    (status, _, err), (failed, _, why) = pair(tmp_path / 'run', '--fail-at', '4').ends()
    assert (status, failed) == (1, 1), (err, why)
    assert why.startswith('hyperinr: training stopped before step 3: datapoint')
    assert err == f'hyperinr: process 1 stopped: {why.removeprefix("hyperinr: ")}'


def test_what_process_0_refuses_ends_the_other(pair, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'thesis.tex').write_text('precious')
    (status, _, err), (other, _, told) = pair(tmp_path / 'run').ends()
    assert (status, other) == (2, 2), (err, told)
    assert 'is not empty and holds no run' in err
    assert told == f'hyperinr: process 0 stopped: {err.removeprefix("hyperinr: ")}'
