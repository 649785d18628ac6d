"""A command is run where the launcher runs it; what is killed is started again, what reports an error ends all."""

import contextlib
import os
import sys
import time

import pytest

from hyperinr.errors import InputError, RunError
from hyperinr.launching import base, launch_local, launch_ray, launch_slurm, slurm, worker_environment

# Its logger keeps the stream of the moment, which must not be one that a test captures and closes.
with contextlib.suppress(ImportError):
    import submitit

SAY = 'import sys; print("hyperinr: error: bad", file=sys.stderr); sys.exit(int(sys.argv[1]))'
DIE = (
    'import os, pathlib, sys; path = pathlib.Path(sys.argv[1]); path.write_text((path.read_text() if path.exists() '
    'else "") + "x"); os.kill(os.getpid(), 9) if len(path.read_text()) < int(sys.argv[2]) else None'
)


def python(code, *arguments):
    return [sys.executable, '-c', code, *map(str, arguments)]


def scripted(*endings):
    """A launcher whose only command ends so, one start after the other; each poll but the first finds it ended."""
    left, starts = list(endings), []

    def start(command):
        starts.append(command)
        answers = iter([None, left.pop(0)])
        return lambda: next(answers)

    return start, starts


def test_a_command_is_watched_until_it_succeeds(monkeypatch, caplog):
    monkeypatch.setattr(base, 'POLL_SECONDS', 0.0)
    monkeypatch.setattr(base, 'MAX_RESTARTS', 2)
    start, starts = scripted(base.Ended(-9, 'killed'), base.Ended(-9, 'killed'), base.Ended(0, ''))
    polls = []
    base.watch(start, ['work'], on_poll=lambda: polls.append(1))
    assert starts == ['work'] * 3
    assert len(polls) == 6
    assert [record.args[2] for record in caplog.records] == [1, 2]
    start, starts = scripted(*[base.Ended(-9, 'killed')] * 2, base.Ended(-11, 'the last words'))
    with pytest.raises(RunError, match=r'died 3 times \(exit status -11\): the last words'):
        base.watch(start, ['work'], on_poll=lambda: None)


def test_a_worker_that_reports_an_error_ends_all():
    sleep = python('import time; time.sleep(60)')
    began = time.monotonic()
    for status, error in ((2, InputError), (1, RunError), (130, KeyboardInterrupt)):
        with pytest.raises(error, match='^bad$'):
            launch_local([sleep, python(SAY, status)])
    assert time.monotonic() - began < 30


def test_a_worker_that_dies_is_started_again_but_not_for_ever(tmp_path, monkeypatch):
    launch_local([python(DIE, tmp_path / 'a', 3)])
    assert (tmp_path / 'a').read_text() == 'xxx'
    monkeypatch.setattr(base, 'MAX_RESTARTS', 1)
    with pytest.raises(RunError, match='died 2 times'):
        launch_local([python(DIE, tmp_path / 'b', 9)])


def test_the_environment_is_that_of_the_call(tmp_path):
    write = 'import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ["WHO"] + os.environ["HOME"])'
    launch_local([python(write, tmp_path / 'a')], environment={'WHO': 'me '})
    assert (tmp_path / 'a').read_text() == f'me {os.environ["HOME"]}'


def test_a_worker_gets_as_many_devices_as_asked_for(monkeypatch):
    monkeypatch.setenv('XLA_FLAGS', '--xla_force_host_platform_device_count=8 --xla_dump_to=x')
    for count in (0, 1, 3):
        flags = worker_environment(count)['XLA_FLAGS']
        assert flags == f'--xla_dump_to=x --xla_force_host_platform_device_count={max(1, count)}'


@pytest.mark.exhaustive
@pytest.mark.filterwarnings('ignore')  # Ray's own, of its processes and their sockets
def test_ray_starts_a_killed_worker_again_and_reports_an_error(tmp_path, monkeypatch):
    ray = pytest.importorskip('ray')
    ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False, num_cpus=2)
    try:
        launch_ray([python(DIE, tmp_path / 'a', 2)])
        assert (tmp_path / 'a').read_text() == 'xx'
        with pytest.raises(InputError, match='^bad$'):
            launch_ray([python(SAY, 2)])
        monkeypatch.setattr(base, 'MAX_RESTARTS', 0)
        with pytest.raises(RunError, match='died 1 times'):
            launch_ray([['/no/such/program']])
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_a_missing_package_is_said(monkeypatch):
    for name in ('ray', 'submitit'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"^the launcher 'ray' needs Ray; install hyperinr\[ray\]\.$"):
        launch_ray([])
    with pytest.raises(InputError, match=r'install hyperinr\[slurm\]'):
        launch_slurm([], folder='logs')


def test_slurm_gets_an_array_of_the_same_commands(tmp_path, monkeypatch):
    """A stand-in for ``sbatch`` keeps the script that submitit wrote."""
    pytest.importorskip('submitit')
    bin_folder = tmp_path / 'bin'
    bin_folder.mkdir()
    for name in ('sbatch', 'srun', 'squeue', 'sacct', 'scancel'):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/submitted.sh\necho Submitted batch job 17\n')
        script.chmod(0o755)
    monkeypatch.setenv('PATH', f'{bin_folder}:{os.environ["PATH"]}')
    commands = [python(SAY, number) for number in range(2)]
    jobs = launch_slurm(commands, folder=tmp_path / 'logs', options={'partition': 'cpu', 'time': 90})
    assert jobs == ['17_0', '17_1']
    text = (tmp_path / 'submitted.sh').read_text()
    for line in ('#SBATCH --array=0-1%2', '#SBATCH --partition=cpu', '#SBATCH --time=90', '#SBATCH --requeue'):
        assert line in text.splitlines(), text
    with pytest.raises(InputError, match='--slurm: .*colour'):
        launch_slurm(commands, folder=tmp_path / 'logs', options={'colour': 'red'})


def test_a_slurm_task_runs_its_command_and_is_submitted_again_as_it_is(tmp_path):
    pytest.importorskip('submitit')
    task, command = slurm.SlurmTask(), python(SAY, 1)
    assert task(python('pass'), {}) == 0
    with pytest.raises(RunError, match='^bad$'):
        task(command, {})
    with pytest.raises(RuntimeError, match=r'killed \(exit status -9\)'):
        task(python(DIE, tmp_path / 'a', 2), {})
    again = task.checkpoint(command, {'A': 'b'})
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert (again.function, again.args) == (task, (command, {'A': 'b'}))
