import os
import signal

import pytest

from hyperinr.training.interruption import interruptible


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_the_first_signal_is_noted(number):
    before = signal.getsignal(number)
    with interruptible() as found:
        assert found.signal is None
        os.kill(os.getpid(), number)
        assert found.signal == number
    assert signal.getsignal(number) is before


def test_the_second_signal_acts_as_it_did_before():
    # A process of pytest-xdist ignores Ctrl-C, an ordinary one does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


NOTICE = """
import signal, sys, time
from hyperinr.training.interruption import ending_at_once, interruptible
with ending_at_once('nothing to save'):
    if sys.argv[1] == 'before':
        signal.raise_signal(signal.SIGUSR1)
        time.sleep(30)
with interruptible() as found:
    signal.raise_signal(signal.SIGTERM)
    assert found.signal == signal.SIGTERM
    signal.raise_signal(signal.SIGTERM)
"""


def test_a_notice_before_there_is_anything_to_save_ends_the_process_with_the_status_of_a_requeue(run_python):
    ended = run_python(NOTICE, 'before')
    assert (ended.returncode, ended.stderr) == (75, 'hyperinr: nothing to save\n')


def test_after_that_the_first_notice_is_noted_and_the_second_kills(run_python):
    assert run_python(NOTICE, 'after').returncode == -signal.SIGTERM
