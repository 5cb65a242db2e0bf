"""A connection that another thread may write on while nothing is on its way, which saves a wake-up for a send."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from threading import Lock

from ..layers.redis.connection.connection import Answer, Connection
from ..layers.redis.connection.greeting import Greeting

MAX_DIRECT_WRITE = 16_384
"""Bytes. So little always fits into the socket's buffer when everything before has been answered."""


class DirectWriteConnection(Connection):
    """A connection whose commands stay in line with their answers, because both threads write under one lock.

    ``write_directly`` is for any thread, everything else for the thread of the connection.
    """

    def __init__(self, on_lost: Callable[[], None], on_writable: Callable[[], None]) -> None:
        super().__init__(on_lost, on_writable)
        self._owner = asyncio.get_running_loop()
        # Held while a command and its answer are added, and while the connection ends.
        self._lock = Lock()
        # A copy of the transport's socket. None when the connection may not be written on by other threads: before the
        # server has greeted, with TLS, and after its end.
        self._socket: socket.socket | None = None

    def write_directly(self, data: bytes, answer: Answer) -> bool:
        """Send a packed command now. From any thread.

        Returns:
            False when nothing was sent: something else is on its way, or the socket did not take the command.
        """
        with self._lock:
            transport, direct = self._transport, self._socket
            if transport is None or direct is None or len(data) > MAX_DIRECT_WRITE:
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
            self._owner.call_soon_threadsafe(self.abort)
        return True

    def write(self, data: bytes, *answers: Answer) -> None:
        if self._transport is None:
            super().write(data, *answers)  # calls the answers, which may write again: not under the lock
            return
        with self._lock:
            super().write(data, *answers)

    def greeted(self, greeting: Greeting) -> None:
        # The socket is copied here and not when the connection is made: uvloop does not report the end of a connection
        # whose opening is cancelled just then, and the copy would stay open.
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
