"""A connection that a thread other than its own may write on, when nothing is on its way: a wake-up less for a send."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from threading import Lock

from ..layers.redis.connection.connection import Answer, Connection, Greeting

MOST = 16_384
"""Bytes. So little always fits in the socket's buffer when everything before it has been answered."""


class DirectWriteConnection(Connection):
    """Commands of both threads are in line with their answers: each is written under the lock."""

    def __init__(self, on_lost: Callable[[], None], on_writable: Callable[[], None]) -> None:
        super().__init__(on_lost, on_writable)
        self._lock = Lock()
        self._socket: socket.socket | None = None

    def write_directly(self, data: bytes, answer: Answer) -> bool:
        """Send a packed command now. From any thread.

        False: nothing was sent, because something else is on its way, or the socket would not take it.
        """
        with self._lock:
            transport, direct = self._transport, self._socket
            if transport is None or direct is None or len(data) > MOST:
                return False
            if self._answers or transport.get_write_buffer_size():
                return False
            self.heard_at = time.monotonic()
            self._answers.append(answer)
            try:
                sent = direct.send(data)
            except OSError:
                self._answers.pop()
                return False
        if sent < len(data):
            self._loop.call_soon_threadsafe(self.abort)
        return True

    def write(self, data: bytes, *answers: Answer) -> None:
        with self._lock:
            if self._transport is not None:
                self._write(data, answers)
                return
        super().write(data, *answers)

    def greeted(self, greeting: Greeting) -> None:
        # Not as soon as it is made: of one whose opening is cancelled just then, uvloop does not tell the end.
        super().greeted(greeting)
        transport = self._transport
        if transport is not None and transport.get_extra_info("sslcontext") is None:
            self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            self._socket.setblocking(False)

    def connection_lost(self, exc: Exception | None) -> None:
        with self._lock:
            self._transport = None
            direct, self._socket = self._socket, None
        if direct is not None:
            with contextlib.suppress(OSError):
                direct.close()
        super().connection_lost(exc)
