import os
import signal

import pytest

from hyperinr.training.interruption import interruptible


@pytest.mark.parametrize(('number', 'raised'), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_first_signal_is_noted_and_raised_when_asked(number, raised):
    before = signal.getsignal(number)
    with interruptible() as found:
        found.raise_if_any('nothing yet')
        os.kill(os.getpid(), number)
        assert found.signal == number
        with pytest.raises(raised) as error:
            found.raise_if_any('saved')
    assert signal.getsignal(number) is before
    assert str(error.value) == ('saved' if raised is KeyboardInterrupt else '143')


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
