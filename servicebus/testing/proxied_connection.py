"""What a proxy does to one connection: the faults, and the bytes on their two ways."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

CHUNK = 1 << 16
LINE = 1024
"""Chunks under way in one direction of one connection; further ones are not read until one has passed."""
TICKS = 100
"""Parts into which a second is divided where bandwidth is limited."""

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Faults:
    """What is wrong with the links of a proxy. Set at any time, it holds for open connections and new ones.

    Attributes:
        delay: seconds that whatever passes takes, each way.
        jitter: seconds of delay more, at most, drawn anew for each piece. The order stays.
        bandwidth: bytes per second that pass in each direction of each connection, 0 for as many as there are.
        slices: bytes that pass at a time, 0 for as they come.
        black_hole: nothing passes any more, and nobody is told; it passes when this is over.
        refusing: new connections are cut at once.
        cut_after: bytes of answers after which a connection is cut; it counts down. None: never.
        cut_before_answer: a connection whose client sends these bytes is cut between execution and answer.
        cuts: how many connections the last two have cut.
    """

    def __init__(self) -> None:
        self.cuts = 0
        self.flowing = asyncio.Event()
        self.heal()

    @property
    def black_hole(self) -> bool:
        return not self.flowing.is_set()

    @black_hole.setter
    def black_hole(self, swallowing: bool) -> None:
        (self.flowing.clear if swallowing else self.flowing.set)()

    def heal(self) -> None:
        """End all faults: what was held back passes; what was cut stays so."""
        self.delay = self.jitter = 0.0
        self.bandwidth = self.slices = 0
        self.black_hole = self.refusing = False
        self.cut_after: int | None = None
        self.cut_before_answer = b""


class Link:
    """One client's connection and the one that stands for it at the server."""

    def __init__(self, faults: Faults, client: Pair, server: Pair) -> None:
        self._faults, self._client, self._server = faults, client, server
        self._doomed, self._sent = False, b""
        self._ended = asyncio.Event()

    def cut(self) -> None:
        self._ended.set()
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def run(self) -> None:
        """Pass bytes both ways until either side ends, then end both."""
        requests = Way(self._faults, self._client[0], self._server[1])
        answers = Way(self._faults, self._server[0], self._client[1])
        reading = [asyncio.ensure_future(way.read()) for way in (requests, answers)]
        ends = [requests.write(self._ask), answers.write(self._answer), self._ended.wait()]
        ending = [asyncio.ensure_future(end) for end in ends]
        try:
            # A link that was made while the proxy stopped is not cut by that.
            if not self._faults.refusing:
                await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            for task in reading + ending:
                task.cancel()
            await asyncio.gather(*reading, *ending, return_exceptions=True)

    def _ask(self, data: bytes) -> bytes:
        mark = self._faults.cut_before_answer
        self._sent = (self._sent + data)[-len(data) - len(mark) :]  # it may have come in two pieces
        self._doomed = self._doomed or bool(mark and mark in self._sent)
        return data

    def _answer(self, data: bytes) -> bytes:
        limit = 0 if self._doomed else self._faults.cut_after
        if limit is None:
            return data
        passing = data[:limit]
        if not self._doomed:
            self._faults.cut_after = limit - len(passing)
        self._faults.cuts += len(passing) < len(data)
        return passing


class Way:
    """One direction of a link: a line of pieces, each with the instant at which it is due."""

    def __init__(self, faults: Faults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._faults, self._reader, self._writer = faults, reader, writer
        self._line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(LINE)
        self._loop = asyncio.get_running_loop()

    async def read(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(CHUNK):
                wait = self._faults.delay + random.uniform(0, self._faults.jitter)
                await self._line.put((self._loop.time() + wait, data))
        await self._line.put((0.0, b""))

    async def write(self, look: Callable[[bytes], bytes]) -> None:
        """Pass what ``look`` lets pass, until that is not all, or either side has ended."""
        with contextlib.suppress(OSError):
            while True:
                due, data = await self._line.get()
                await asyncio.sleep(due - self._loop.time())
                passing = look(data)
                await self._pass(passing)
                if not data or len(passing) < len(data):
                    return

    async def _pass(self, data: bytes) -> None:
        faults, at = self._faults, 0
        while at < len(data):
            await faults.flowing.wait()
            size = min(faults.slices or CHUNK, max(1, faults.bandwidth // TICKS) if faults.bandwidth else CHUNK)
            piece = data[at : at + size]
            self._writer.write(piece)
            await self._writer.drain()
            at += len(piece)
            if faults.bandwidth:
                await asyncio.sleep(len(piece) / faults.bandwidth)
            elif faults.slices:
                await asyncio.sleep(0)
