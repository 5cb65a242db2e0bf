"""The latency floor: two processes with blocking sockets, RPUSH and BLPOP, and the parser of hiredis. No event loop.

One call at a time: ``python -m bench.floor.blocking worker|driver ADDRESS``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import hiredis

from .. import histogram
from ..load import Outcome
from ..peers.base import Peer, embedded_server, module_command
from ..pipes import reply

NAME = "floor-blocking"
REQUESTS = b"floor:requests"
REPLIES = b"floor:replies"
RECEIVE_SIZE = 65_536
"""Bytes that one read takes at most: any message of this floor fits."""

pack = cast("Callable[[tuple[bytes, ...]], bytes]", hiredis.pack_command)

SKIP_REPLY = pack((b"CLIENT", b"REPLY", b"SKIP"))
"""The command that keeps the server from answering the next one."""


class Lists:
    """A connection that pushes to one list and takes from another.

    Push and pop leave in one write, and the push is not answered, so that a message wakes a process only once.
    """

    def __init__(self, address: str, push: bytes, take: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address.removeprefix("unix://"))
        self._reader = hiredis.Reader()
        self._push = push
        self._take = pack((b"BLPOP", take, b"0"))
        """The bytes of the blocking pop."""

    def take(self) -> bytes:
        """Wait for the first message."""
        self._socket.sendall(self._take)
        message: bytes = self._answer()[1]
        return message

    def exchange(self, message: bytes) -> bytes:
        """Push one message and wait for the next."""
        self._socket.sendall(SKIP_REPLY + pack((b"RPUSH", self._push, message)) + self._take)
        answer: bytes = self._answer()[1]
        return answer

    def _answer(self) -> Any:
        reader, receive = self._reader, self._socket.recv
        while (answer := reader.gets()) is False:
            reader.feed(receive(RECEIVE_SIZE))
        return answer


def worker(address: str) -> None:
    """Echo for ever."""
    lists = Lists(address, REPLIES, REQUESTS)
    message = lists.take()
    while True:
        message = lists.exchange(message)


def driver(address: str) -> None:
    """Serve the requests of the parent, one call at a time."""
    lists = Lists(address, REQUESTS, REPLIES)
    lists.exchange(b"")
    reply({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        reply(_measured(lists, b"x" * request["body"], request["seconds"]).report())


def _measured(lists: Lists, body: bytes, seconds: float) -> Outcome:
    latencies = histogram.samples()
    started = before = time.perf_counter()
    while before < started + seconds:
        lists.exchange(body)
        after = time.perf_counter()
        latencies.append(after - before)
        before = after
    return Outcome(len(latencies), 0, 0, before - started, latencies)


def _main(role: str, address: str) -> None:
    if role == "driver":
        driver(address)
        return
    threading.Thread(target=worker, args=(address,), daemon=True).start()
    sys.stdin.read()


PEER = Peer(
    NAME,
    lambda: "",
    embedded_server,
    lambda address: module_command("bench.floor.blocking", "worker", address),
    lambda address: module_command("bench.floor.blocking", "driver", address),
    most_in_flight=1,
)

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _main(*sys.argv[1:])
