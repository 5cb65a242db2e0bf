"""A proxy between a client and a real server that cuts, delays, slices or withholds what passes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from ..layers.redis.topology.address import Address
from .proxied_connection import ConnectionFaults, Pair, ProxiedConnection

HOST = "127.0.0.1"


class Proxy(ConnectionFaults):
    """A proxy on a port of 127.0.0.1. The faults are its attributes: see ``ConnectionFaults``.

    Args:
        upstream: the server, as a URL or as the path of its unix socket.
        tls: serve clients with TLS; ``url`` then begins with ``rediss://``. The server itself need not have TLS.

    Attributes:
        port: where clients connect, once the proxy was started.
        url: the URL for a bus, with the login and the database of ``upstream``.
    """

    def __init__(self, upstream: str, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        upstream = f"unix://{upstream}" if upstream.startswith("/") else upstream
        self._address = Address.from_url(upstream)
        self._login, self._at, _ = urlsplit(upstream).netloc.rpartition("@")
        self._tls = tls
        # The open connections.
        self._connections: set[ProxiedConnection] = set()
        # The task of each connection that has not ended.
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port. Cancelling is safe: the proxy may or may not listen."""
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"redis{'s' if self._tls else ''}://{self._login}{self._at}{HOST}:{self.port}/{self._address.db}"

    async def stop(self) -> None:
        """Cut all connections and stop listening.

        Cancelling is safe: all connections are cut, and only the wait for their end is cancelled.
        """
        self.refusing = True
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut all open connections. New connections are accepted."""
        for connection in list(self._connections):
            connection.cut()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError):
            upstream = await self._connect()
            connection = ProxiedConnection(self, (reader, writer), upstream)
            self._connections.add(connection)
            try:
                await connection.run()
            finally:
                self._connections.discard(connection)
        writer.transport.abort()

    async def _connect(self) -> Pair:
        if self.refusing:
            raise ConnectionRefusedError
        if self._address.path:
            return await asyncio.open_unix_connection(self._address.path)
        return await asyncio.open_connection(self._address.host, self._address.port, ssl=self._address.tls)


@asynccontextmanager
async def proxied(upstream: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy for the duration of a block. Arguments as for ``Proxy``. Cancelling is safe: the proxy is stopped."""
    proxy = Proxy(upstream, tls=tls)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
