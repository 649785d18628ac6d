"""Noticing within seconds that a process of the run is gone, whatever it was doing and however it ended.

Every process holds one TCP connection to process 0 and says now and then that it is alive. A connection that closes, or
is silent for too long, is a lost process; one that fails says why first. Process 0 passes the news on. A collective
would wait for a lost process for ever on most networks, and jax's own answer is to abort with a stack trace.
"""

import contextlib
import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hyperinr.errors import InterruptedRunError

__all__ = ['Ending', 'Lifeline', 'listen']

BEAT_SECONDS = 2.0
SILENT_BEATS = 15
"""After so many of its own beats without a word a process takes another for lost. Beats, not seconds: to a process that
was stopped itself the time counts as one."""
GRACE_SECONDS = 10.0
"""For the main thread to leave by itself, finishing what it writes, before the process is ended."""
CONNECT_SECONDS = 60.0


class Ending(NamedTuple):
    """Why the run cannot go on.

    Attributes:
      message: one line.
      status: exit status of the process that failed; ``None`` if it vanished without a word.
    """

    message: str
    status: int | None


class _Peer:
    """The other end of a connection.

    Attributes:
      name: ``'process 3'``.
      silent: beats since its last word.
    """

    def __init__(self, connection: socket.socket, name: str):
        self.connection, self.name, self.silent = connection, name, 0
        self._rest = b''

    def say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b'\n')

    def hear(self) -> list[dict[str, Any]] | None:
        """Messages that have arrived; ``None`` when the connection is closed."""
        try:
            received = self.connection.recv(65536)
        except OSError:
            return None
        if not received:
            return None
        *lines, self._rest = (self._rest + received).split(b'\n')
        return [json.loads(line) for line in lines]


def listen() -> socket.socket:
    """A socket of process 0 on a free port, on all its addresses."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(('', 0))


class Lifeline:
    """One process's end of it.

    Args:
      index: of this process.
      count: of processes, >= 2.
      token: that all processes of the run know.
      address: ``(host, port)`` of process 0.
      server: `listen`, of process 0 only.
      end: called with the `Ending` when the main thread has not left in time; ends the process.

    Raises:
      OSError: the others cannot be reached.
    """

    def __init__(
        self,
        index: int,
        count: int,
        token: str,
        address: tuple[str, int],
        server: socket.socket | None,
        *,
        end: Callable[[Ending], None] | None = None,
    ):
        self._name, self._end = f'process {index}', end or end_process
        self._lost: Ending | None = None
        self._found, self._over = threading.Event(), threading.Event()
        self._peers: list[_Peer] = []
        if server is None:
            connection = socket.create_connection(address, timeout=CONNECT_SECONDS)
            self._peers.append(_Peer(connection, 'process 0'))
            self._peers[0].say({'token': token, 'process': index})
        else:
            self._peers = _accept(server, count - 1, token)
        self._thread = threading.Thread(target=self._watch, name='hyperinr-lifeline', daemon=True)
        self._thread.start()

    def ending(self, *, wait_seconds: float = 0.0) -> Ending | None:
        """What has been found out so far, or within ``wait_seconds``."""
        self._found.wait(wait_seconds)
        return self._lost

    def close(self, ending: Ending | None = None) -> None:
        """Leaves, on purpose: the others do not take it for a loss.

        Args:
          ending: if they are to end too, why.
        """
        self._over.set()
        message: dict[str, Any] = {'done': True}
        if ending is not None:
            message |= {'failed': f'{self._name} stopped: {ending.message}', 'status': ending.status}
        for peer in self._peers:
            peer.say(message)
        self._thread.join(timeout=2 * BEAT_SECONDS)
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.connection.close()

    def _watch(self) -> None:
        next_beat = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for peer in self._peers:
                selector.register(peer.connection, selectors.EVENT_READ, peer)
            while selector.get_map() and not self._over.is_set():
                if time.monotonic() >= next_beat:
                    self._beat([key.data for key in selector.get_map().values()])
                    next_beat = time.monotonic() + BEAT_SECONDS
                for key, _ in selector.select(max(next_beat - time.monotonic(), 0)):
                    if not self._listen_to(key.data):
                        selector.unregister(key.fileobj)

    def _beat(self, peers: Sequence[_Peer]) -> None:
        for peer in peers:
            peer.say({'alive': True})
            peer.silent += 1
            if peer.silent > SILENT_BEATS:
                seconds = BEAT_SECONDS * SILENT_BEATS
                self._lose(Ending(f'{peer.name} was lost: nothing heard of it for {seconds:.0f} s', None))

    def _listen_to(self, peer: _Peer) -> bool:
        """Whether there is more to come."""
        peer.silent = 0
        messages = peer.hear()
        if messages is None:
            self._lose(Ending(f'{peer.name} was lost: its connection closed without a word', None))
            return False
        for message in messages:
            if 'failed' in message:
                self._lose(Ending(message['failed'], message['status']))
        return not any('done' in message for message in messages)

    def _lose(self, ending: Ending) -> None:
        if self._over.is_set() or self._lost is not None:
            return
        self._lost = ending
        for peer in self._peers:
            peer.say({'failed': ending.message, 'status': ending.status})
        self._found.set()
        threading.Thread(target=self._end_later, args=(ending,), daemon=True).start()

    def _end_later(self, ending: Ending) -> None:
        if not self._over.wait(GRACE_SECONDS):
            self._end(ending)


def _accept(server: socket.socket, number: int, token: str) -> list[_Peer]:
    peers: list[_Peer] = []
    server.settimeout(CONNECT_SECONDS)
    with server:
        while len(peers) < number:
            connection, _ = server.accept()
            connection.settimeout(CONNECT_SECONDS)
            peer = _Peer(connection, 'a stranger')
            with contextlib.suppress(ValueError, KeyError):
                messages = peer.hear() or [{}]
                if messages[0]['token'] == token:
                    peer.name = f'process {int(messages[0]["process"])}'
                    peers.append(peer)
                    continue
            connection.close()
    return peers


def end_process(ending: Ending) -> None:
    """Prints the line and ends the process at once, whatever its main thread waits for."""
    print(f'hyperinr: {ending.message}', file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(InterruptedRunError.exit_status if ending.status is None else ending.status)
