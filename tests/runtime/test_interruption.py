import os
import signal

import pytest

from hyperinr.runtime.interruption import interruptible, note

pytestmark = pytest.mark.usefixtures('default_signals')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
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


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as found:
            os.kill(os.getpid(), signal.SIGHUP)
            assert found.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_not_a_signal_is_noted_only_inside():
    with interruptible() as found:
        assert note(signal.SIGPIPE)
        assert found.signal == signal.SIGPIPE
    assert not note(signal.SIGPIPE)


WATCHED = """
import hashlib, os, signal, sys, threading, time
from hyperinr.runtime.interruption import closing, interruptible, watch
where, number = sys.argv[1], int(sys.argv[2])
if where == 'ignored':
    signal.signal(number, signal.SIG_IGN)
watch()
closing(goes_on=True)
def send(): os.kill(os.getpid(), number)
def later(): threading.Timer(0.1, send).start()
if where == 'python':
    later()
    try:
        time.sleep(60)
    finally:
        print('cleaned up', flush=True)
elif where == 'compiled code':
    later()
    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)
elif where == 'jax':
    exec('try:\\n    send()\\nfinally:\\n    print("cleaned up", flush=True)', {'__name__': 'jax.api', 'send': send})
elif where == 'long step':
    with interruptible() as found:
        later()
        threading.Timer(0.6, print, ['goes on'], {'flush': True}).start()
        # Several: two that come at once count as one.
        for seconds in (0.8, 1.6, 2.4):
            threading.Timer(seconds, send).start()
        hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)
elif where == 'second':
    with interruptible() as found:
        send()
        assert found.signal == number
        time.sleep(0.5)
        print('saved', flush=True)
        try:
            send()
        except BaseException as error:
            print(error, flush=True)
            send()
elif where == 'ignored':
    send()
    print('goes on')
elif where == 'launcher':
    time.sleep(60)
"""
BY_USER = (130, 'hyperinr: interrupted; the same command goes on\n')
BY_TERM = (75, 'hyperinr: interrupted by SIGTERM; the same command goes on\n')


@pytest.mark.parametrize(
    ('where', 'number', 'said', 'ending'),
    [
        ('compiled code', signal.SIGINT, '', BY_USER),
        ('jax', signal.SIGTERM, '', BY_TERM),
        ('long step', signal.SIGINT, 'goes on\n', BY_USER),
        ('second', signal.SIGTERM, f'saved\n{BY_TERM[1].removeprefix("hyperinr: ")}', BY_TERM),
        ('ignored', signal.SIGHUP, 'goes on\n', (0, '')),
        ('launcher', signal.SIGINT, '', None),
    ],
)
def test_a_watched_process_ends_with_one_line_wherever_it_is(run_python, where, number, said, ending):
    # The number of a process that has never been this one's parent.
    more = {'HYPERINR_PARENT': '1'} if where == 'launcher' else {}
    ended = run_python(WATCHED, where, str(int(number)), **more)
    assert ended.stdout == said
    if ending is None:
        assert 'Interrupted: interrupted by SIGTERM' in ended.stderr
    else:
        assert (ended.returncode, ended.stderr) == ending


def test_python_code_is_left_by_an_exception_that_cleans_up(run_python):
    ended = run_python(WATCHED, 'python', str(int(signal.SIGHUP)))
    assert ended.stdout == 'cleaned up\n'
    assert ended.stderr.endswith('Interrupted: interrupted by SIGHUP; the same command goes on\n')
