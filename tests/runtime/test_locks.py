"""A lock has one holder at a time, whatever happens to processes and files."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hyperinr.errors import InputError
from hyperinr.runtime.locks import NoLocksError, locked

HOLD = """
import sys
from hyperinr.runtime.locks import locked

with locked(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[1])}
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path / 'deep' / 'lock')],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.communicate()


def test_another_process_holds_it_until_it_is_killed(holder, tmp_path):
    path = tmp_path / 'deep' / 'lock'
    with locked(path, wait=False) as held:
        assert not held
    holder.kill()
    holder.wait()
    with locked(path, wait=False) as held:
        assert held


def test_one_that_waits_gets_it_after_the_holder(holder, tmp_path):
    path, got = tmp_path / 'deep' / 'lock', threading.Event()

    def wait():
        with locked(path) as held:
            assert held
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.3)
    holder.communicate('')
    assert got.wait(30)
    thread.join()


def test_the_file_stays_so_that_nobody_waits_for_one_that_is_gone(tmp_path):
    path = tmp_path / 'lock'
    with locked(path):
        before = path.stat().st_ino
    assert path.stat().st_ino == before
    with locked(path, wait=False) as held:
        assert held
        with locked(path, wait=False) as again:
            assert not again
        assert path.stat().st_ino == before
        with locked(path, wait=False) as again:
            assert not again


def test_an_error_inside_releases_it(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / 'lock'):
        raise KeyError
    with locked(tmp_path / 'lock', wait=False) as held:
        assert held


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
@pytest.mark.parametrize('wait', [True, False])
def test_a_file_system_without_locks_is_told_from_a_held_lock(tmp_path, monkeypatch, number, wait):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, 'flock', refuse)
    with (
        pytest.raises(NoLocksError, match=r'has no locks .*choose a folder on another one'),
        locked(tmp_path / 'lock', wait=wait),
    ):
        pass


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='choose another path'), locked(tmp_path / 'file' / 'lock'):
        pass
