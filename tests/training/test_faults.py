"""A few faults of each kind against the toy learner; ``python -m tests.training.fault_test`` tries more."""

import signal
import sys

import pytest

from tests.training import fault_test

pytestmark = pytest.mark.exhaustive
NUM_STEPS = 3000


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('faults')


@pytest.fixture(scope='module')
def faults(folder):
    def command(run_dir):
        return [sys.executable, '-m', 'tests.training.toy_run', str(run_dir), '--num-steps', str(NUM_STEPS)]

    devices = {'NPROC': '1', 'XLA_FLAGS': '--xla_force_host_platform_device_count=2', 'TF_CPP_MIN_LOG_LEVEL': '2'}
    faults = fault_test.Faults(
        lambda run_dir: [*command(run_dir), '--checkpoint-every', '10', '--delay', '0.01'],
        folder / 'run',
        num_steps=NUM_STEPS,
        environment=devices,
    )
    while len(fault_test.steps_in(faults.run_dir)) < 2:
        faults.kill(max_wait_seconds=0.5)
    return faults


def survived(faults, number):
    before = faults.report['survived']

    def check():
        assert faults.report['lost'] == []
        assert faults.report['survived'] == before + number

    return check


def test_kills_are_survived(faults):
    assert faults.report['lost'] == []
    assert faults.report['survived'] == faults.report['tried'] >= 1


def test_a_flipped_bit_is_noticed_and_passed_over(faults):
    check = survived(faults, 1)
    faults.damage(fault_test.flip_a_bit)
    check()


def test_a_full_disk_and_a_read_only_folder_are_said_in_one_line(faults):
    check = survived(faults, 2)
    faults.full_disk(300)
    faults.read_only()
    check()


def test_a_notice_saves_within_ten_seconds(faults):
    check = survived(faults, 1)
    assert faults.notice(signal.SIGTERM) < 10
    check()


def test_a_run_without_a_sound_checkpoint_is_not_begun_again(faults, folder):
    check = survived(faults, 2)
    faults.without_checkpoints(folder / 'without')
    check()


def test_a_start_from_zero_would_be_seen(faults, folder, monkeypatch):
    monkeypatch.setattr(faults, 'run_dir', folder / 'other')
    monkeypatch.setattr(faults, 'report', {'tried': 0, 'survived': 0, 'lost': []})
    faults.kill(max_wait_seconds=0.0, sound=7)
    assert len(faults.report['lost']) == 1
