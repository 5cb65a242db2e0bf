"""A proxy between a client and a real server that cuts, delays, slices and swallows, and stops doing so."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from ..layers.redis.topology.address import Address
from .proxied_connection import Faults, Link, Pair

HOST = "127.0.0.1"


class Proxy(Faults):
    """Between ``url`` and the server at ``upstream``, a URL or the path of a socket. Its attributes are the faults.

    ``tls`` is what clients are served with; ``url`` is then a ``rediss://`` one.
    """

    def __init__(self, upstream: str, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        upstream = f"unix://{upstream}" if upstream.startswith("/") else upstream
        self._address, self._login = Address.from_url(upstream), urlsplit(upstream).netloc.rpartition("@")
        self._tls = tls
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Cancelling is safe."""
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        login, at, _ = self._login
        self.url = f"redis{'s' if self._tls else ''}://{login}{at}{HOST}:{self.port}/{self._address.db}"

    async def stop(self) -> None:
        """Cut everything and stop listening. Cancelling ends the wait for connections that are cut already."""
        self.refusing = True
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut every connection there is; new ones are let through."""
        for link in list(self._links):
            link.cut()

    @property
    def connections(self) -> int:
        return len(self._links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError):
            upstream = await self._connect()
            link = Link(self, (reader, writer), upstream)
            self._links.add(link)
            try:
                await link.run()
            finally:
                self._links.discard(link)
        writer.transport.abort()

    async def _connect(self) -> Pair:
        if self.refusing:
            raise ConnectionRefusedError
        if self._address.path:
            return await asyncio.open_unix_connection(self._address.path)
        return await asyncio.open_connection(self._address.host, self._address.port, ssl=self._address.tls)


@asynccontextmanager
async def proxied(upstream: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy for the duration of a block. Cancelling is safe."""
    proxy = Proxy(upstream, tls=tls)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
