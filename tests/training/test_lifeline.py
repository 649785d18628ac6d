import json
import os
import socket
import threading
from multiprocessing.connection import Connection

import pytest

from hyperinr.training import lifeline
from hyperinr.training.lifeline import Ending, Lifeline, listen


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch):
    monkeypatch.setattr(lifeline, 'BEAT_SECONDS', 0.05)
    monkeypatch.setattr(lifeline, 'GRACE_SECONDS', 0.1)


class Ends:
    """What processes were ended with, by index."""

    def __init__(self):
        self.of, self._arrived = {}, threading.Condition()

    def __call__(self, index, ending):
        with self._arrived:
            self.of[index] = ending
            self._arrived.notify_all()

    def wait_for(self, number):
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.of) >= number, timeout=10), self.of
        return self.of


@pytest.fixture
def ends():
    return Ends()


@pytest.fixture
def three(ends):
    """The ends of three processes, all of this one."""
    server = listen()
    port = server.getsockname()[1]
    made = {}

    def make(index):
        own = server if index == 0 else None
        end = lambda ending: ends(index, ending)
        made[index] = Lifeline(index, 3, 'secret', ('127.0.0.1', port), own, end=end)

    threads = [threading.Thread(target=make, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield [made[index] for index in range(3)]
    for each in made.values():
        each.close()


def cut(end):
    """What the system does to the connections of a process that is killed."""
    for peer in end._peers:
        with socket.socket(fileno=os.dup(peer.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)


def test_a_process_that_vanishes_ends_the_others_by_name(three, ends):
    three[1].ending = None
    three[1]._over.set()
    cut(three[1])
    lost = Ending('process 1 was lost: its connection closed without a message')
    assert ends.wait_for(2) == {0: lost, 2: lost}
    assert three[0].ending() == three[2].ending() == lost


def test_process_0_is_missed_by_all(three, ends):
    three[0]._over.set()
    cut(three[0])
    lost = Ending('process 0 was lost: its connection closed without a message')
    assert ends.wait_for(2) == {1: lost, 2: lost}


def test_what_a_failing_process_says_reaches_all(three, ends):
    three[2].close(Ending('the disk is full', 1))
    said = Ending('process 2 stopped: the disk is full', 1)
    assert three[0].ending(wait_seconds=10) == three[1].ending(wait_seconds=10) == said


def test_a_silent_process_is_lost(three, ends, monkeypatch):
    monkeypatch.setattr(three[1], '_say', lambda **message: None)
    assert three[0].ending(wait_seconds=20).message == 'process 1 was lost: nothing heard of it for 1 s'


def test_leaving_on_purpose_is_no_loss(three, ends):
    three[1].close()
    three[0].close()
    assert three[2].ending(wait_seconds=1.5) is None
    assert ends.of == {}


def test_a_main_thread_that_leaves_in_time_is_not_ended(three, ends, monkeypatch):
    monkeypatch.setattr(lifeline, 'GRACE_SECONDS', 1.0)
    three[1].close(Ending('it failed', 1))
    assert three[0].ending(wait_seconds=10)
    three[0].close()
    assert ends.wait_for(1).keys() == {2}
    assert 0 not in ends.of


def test_a_stranger_is_not_taken_for_a_process(ends):
    server = listen()
    address = ('127.0.0.1', server.getsockname()[1])
    guess = Connection(socket.create_connection(address).detach())
    guess.send_bytes(json.dumps({'token': 'guess', 'process': 1}).encode())
    other = Connection(socket.create_connection(address).detach())
    with socket.create_connection(address) as stranger:
        stranger.sendall(b'GET / HTTP/1.1\r\n\r\n')
        other.send_bytes(json.dumps({'token': 'secret', 'process': 1}).encode())
        lead = Lifeline(0, 2, 'secret', address, server, end=lambda ending: ends(0, ending))
        assert list(lead._peers.values()) == ['process 1']
        with pytest.raises(EOFError):
            guess.recv_bytes()
    lead.close()
    other.close()


def test_the_process_is_ended_with_its_line_and_a_status(run_python):
    code = 'from hyperinr.training.lifeline import Ending, end_process\nend_process(Ending("process 1 was lost"{}))'
    for status, expected in (('', 75), (', 1', 1)):
        ended = run_python(code.format(status))
        assert (ended.returncode, ended.stderr) == (expected, 'hyperinr: process 1 was lost\n')
