"""The console script with a standard output that is closed, full, or has lost its reader."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exhaustive import thin

ROOT = Path(__file__).resolve().parents[2]
FULL = 'hyperinr: error: the standard output cannot be written: No space left on device.\n'


@pytest.mark.parametrize(
    ('words', 'redirection', 'status', 'err'),
    thin(
        [
            ('configs', '>&-', 0, ''),
            ('configs', '<&- >&- 2>&-', 0, ''),
            ('configs', '>/dev/full', 1, FULL),
            ('configs', '2>/dev/full', 0, ''),
            ('--help', '>&-', 0, ''),
            ('describe nonsense', '2>/dev/full', 2, ''),
        ],
        lambda row: row[1] in ('<&- >&- 2>&-', '>/dev/full'),
    ),
)
def test_no_state_of_the_streams_is_a_traceback(words, redirection, status, err):
    command = f'{sys.executable} -m hyperinr {words} {redirection}'
    done = subprocess.run(['sh', '-c', command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, err)


def test_a_reader_that_leaves_early_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, 'w') as closed:
        command = [sys.executable, '-m', 'hyperinr', 'configs']
        done = subprocess.run(command, cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, '')


TRAINING = """
import os, signal, sys
from hyperinr.runtime.interruption import interruptible
from hyperinr.runtime.output import guard_streams
guard_streams()
with interruptible() as found:
    print('one', flush=True)
    sys.stdin.readline()
    print('two', flush=True)
    print('three', flush=True)
sys.exit(found.signal == signal.SIGPIPE)
"""


def test_a_loop_that_records_signals_notes_it_and_goes_on():
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, '-c', TRAINING], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout.readline() == 'one\n'
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == ''
    assert process.returncode == 1
