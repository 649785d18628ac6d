"""Detect within seconds that a process of the run is lost, at any point of the run and for any cause.

Every process holds one TCP connection to process 0 and sends a heartbeat over it. If a connection closes or is silent
for too long, its process is lost. A process that fails sends the reason first. Process 0 passes these messages on.

Jax's own service detects a silent process as well. But it aborts the other processes with a stack trace and without the
reason (docs/decisions.md).
"""

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from hyperinr.errors import InterruptedRunError

__all__ = ['Ending', 'Lifeline', 'listen']

BEAT_SECONDS = 2.0
SILENT_BEATS = 15
"""A process considers another one lost after this many of its own beats without a message. It counts beats, not
seconds, because a process that was itself stopped for a while then counts only one beat."""
GRACE_SECONDS = 10.0
"""Time for the main thread to finish writing and to exit before the process is ended."""
CONNECT_SECONDS = 60


class Ending(NamedTuple):
    """The reason why the run cannot go on.

    Attributes:
      message: one line.
      status: exit status of the process that failed; that of an interrupted run if it was lost without a message.
    """

    message: str
    status: int = InterruptedRunError.exit_status


def listen() -> socket.socket:
    """Open the socket of process 0 on a free port, on all its addresses."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(('', 0))


class Lifeline:
    """The connections of one process.

    Args:
      index: number of this process.
      count: number of processes, >= 2.
      token: a secret that all processes of the run know.
      address: ``(host, port)`` of process 0.
      server: result of `listen` in process 0; ``None`` in the others.
      end: ends the process; called with the `Ending` if the main thread has not exited in time.

    Raises:
      OSError: the other processes cannot be reached.
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
        if server is None:
            self._peers = {_connection(socket.create_connection(address, timeout=CONNECT_SECONDS)): 'process 0'}
            self._say(token=token, process=index)
        else:
            self._peers = _accept(server, count - 1, token)
        self._thread = threading.Thread(target=self._watch, name='hyperinr-lifeline', daemon=True)
        self._thread.start()

    def ending(self, *, wait_seconds: float = 0.0) -> Ending | None:
        """Return the `Ending` known now or within ``wait_seconds``; ``None`` if there is none."""
        self._found.wait(wait_seconds)
        return self._lost

    def close(self, ending: Ending | None = None) -> None:
        """Close the connections on purpose; the other processes do not consider this one lost.

        Args:
          ending: the reason why the others must end as well; ``None`` if they go on.
        """
        self._over.set()
        if ending is not None:
            self._say(failed=f'{self._name} stopped: {ending.message}', status=ending.status)
        self._say(done=True)
        self._thread.join(timeout=2 * BEAT_SECONDS)
        for peer in self._peers:
            peer.close()

    def _say(self, **message: Any) -> None:
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.send_bytes(json.dumps(message).encode())

    def _watch(self) -> None:
        silent = dict.fromkeys(self._peers, 0)
        next_beat = time.monotonic()
        while silent and not self._over.is_set():
            if time.monotonic() >= next_beat:
                self._say(alive=True)
                next_beat = time.monotonic() + BEAT_SECONDS
                silent = {peer: beats + 1 for peer, beats in silent.items()}
                for peer in [peer for peer, beats in silent.items() if beats > SILENT_BEATS]:
                    seconds = BEAT_SECONDS * SILENT_BEATS
                    self._lose(Ending(f'{self._peers[peer]} was lost: nothing heard of it for {seconds:.0f} s'))
            ready: list[Any] = wait(list(silent), max(next_beat - time.monotonic(), 0))
            for peer in ready:
                silent[peer] = 0
                try:
                    message = json.loads(peer.recv_bytes())
                except (EOFError, OSError):
                    self._lose(Ending(f'{self._peers[peer]} was lost: its connection closed without a message'))
                    message = {'done': True}
                if 'failed' in message:
                    self._lose(Ending(message['failed'], message['status']))
                if 'done' in message:
                    del silent[peer]

    def _lose(self, ending: Ending) -> None:
        if self._over.is_set() or self._lost is not None:
            return
        self._lost = ending
        self._say(failed=ending.message, status=ending.status)
        self._found.set()
        threading.Thread(target=self._end_later, args=(ending,), daemon=True).start()

    def _end_later(self, ending: Ending) -> None:
        if not self._over.wait(GRACE_SECONDS):
            self._end(ending)


def _connection(connected: socket.socket) -> Connection:
    """Return a connection that receives whole messages, with a time limit for incomplete ones."""
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', CONNECT_SECONDS, 0))
    return Connection(connected.detach())


def _accept(server: socket.socket, number: int, token: str) -> dict[Connection, str]:
    """Accept the connections of the other processes; refuse connections without the token."""
    peers: dict[Connection, str] = {}
    server.settimeout(CONNECT_SECONDS)
    with server:
        while len(peers) < number:
            peer = _connection(server.accept()[0])
            with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError):
                said = json.loads(peer.recv_bytes(1024))
                if said['token'] == token:
                    peers[peer] = f'process {said["process"]}'
                    continue
            peer.close()
    return peers


def end_process(ending: Ending) -> None:
    """Print the line and end the process at once, even if its main thread is waiting."""
    print(f'hyperinr: {ending.message}', file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(ending.status)
