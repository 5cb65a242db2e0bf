"""A proxy between a client and a real server that cuts, delays, slices and swallows, and stops doing so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 1 << 16


class Proxy:
    """Between ``url`` and the socket of a server. Its attributes are the faults; they may be set at any time.

    Attributes:
        delay: seconds that whatever passes takes, each way.
        slices: bytes that pass at a time, 0 for as they come.
        black_hole: nothing passes any more, and nobody is told.
        cut_after: bytes of answers after which a connection is cut; it counts down. None: never.
        cut_before_answer: a connection whose client sends these bytes is cut between execution and answer.
        cuts: how many connections were cut so.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.delay = 0.0
        self.slices = 0
        self.black_hole = False
        self.cut_after: int | None = None
        self.cut_before_answer = b""
        self.cuts = 0
        self._links: set[_Link] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        while self._links:
            await asyncio.sleep(0)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut every connection there is; new ones are let through."""
        for link in list(self._links):
            link.cut()

    @property
    def connections(self) -> int:
        return len(self._links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), upstream)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection and the one that stands for it at the server."""

    def __init__(self, proxy: Proxy, client: Pair, server: Pair) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._doomed = False

    def cut(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def run(self) -> None:
        """Pass bytes both ways until either side ends, then end both."""
        ways = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._client[0].read(CHUNK):
                mark = self._proxy.cut_before_answer
                self._doomed = self._doomed or bool(mark and mark in data)
                await self._pass(data, self._server[1])

    async def _answers(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._server[0].read(CHUNK):
                if self._doomed:
                    self._proxy.cuts += 1
                    return
                if self._proxy.cut_after is not None:
                    passing = data[: self._proxy.cut_after]
                    self._proxy.cut_after -= len(passing)
                    await self._pass(passing, self._client[1])
                    if len(passing) < len(data):
                        self._proxy.cuts += 1
                        return
                else:
                    await self._pass(data, self._client[1])

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._proxy.delay:
            await asyncio.sleep(self._proxy.delay)
        size = self._proxy.slices or len(data)
        for at in range(0, len(data), size):
            while self._proxy.black_hole:
                await asyncio.sleep(0.01)
            writer.write(data[at : at + size])
            await writer.drain()
            if self._proxy.slices:
                await asyncio.sleep(0)


@asynccontextmanager
async def proxied(path: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(path)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
