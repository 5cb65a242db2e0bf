"""One connection through a proxy: its faults, and the bytes that pass in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

CHUNK_BYTES = 1 << 16
"""Bytes that are read at once, at most: as many as asyncio reads from a socket in one call."""
MAX_QUEUED_CHUNKS = 1024
"""Chunks in the queue of one direction, at most; the sender is not read until a chunk has passed. Bounds the memory."""
PIECES_PER_SECOND = 100
"""Pieces that pass in a second when bandwidth is limited: enough that the stream flows evenly."""

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""Both ends of a connection at one peer."""


class ConnectionFaults:
    """The faults of a proxy. A fault may be set at any time, and applies to open and new connections.

    Attributes:
        delay: seconds by which all bytes are delayed, in each direction.
        jitter: seconds of random additional delay, at most. The order of the bytes stays.
        bandwidth: bytes per second that pass in each direction of each connection, 0 for no limit.
        slices: bytes that pass at a time, at most; 0 for no limit.
        black_hole: nothing passes, and both sides stay connected; withheld bytes pass when this is False again.
        refusing: new connections are cut at once.
        cut_after: bytes of answers after which a connection is cut; the number counts down. None for never.
        cut_before_answer: when a client sends these bytes, its connection is cut after the server has executed the
            request and before the client gets the answer. ``b""`` for never.
        cuts: how many connections ``cut_after`` and ``cut_before_answer`` have cut.
        flowing: set while ``black_hole`` is False.
    """

    def __init__(self) -> None:
        self.cuts = 0
        self.flowing = asyncio.Event()
        self.heal()

    @property
    def black_hole(self) -> bool:
        """Whether bytes are withheld."""
        return not self.flowing.is_set()

    @black_hole.setter
    def black_hole(self, withholding: bool) -> None:
        (self.flowing.clear if withholding else self.flowing.set)()

    def heal(self) -> None:
        """End all faults. Withheld bytes pass; connections that were cut stay cut."""
        self.delay = self.jitter = 0.0
        self.bandwidth = self.slices = 0
        self.black_hole = self.refusing = False
        self.cut_after: int | None = None
        self.cut_before_answer = b""


class ProxiedConnection:
    """A client's connection to the proxy, and the proxy's connection to the server for that client."""

    def __init__(self, faults: ConnectionFaults, client: Pair, server: Pair) -> None:
        self._faults = faults
        self._client = client
        self._server = server
        # Whether the client has sent ``cut_before_answer``: the next answer is not passed on.
        self._cut_at_answer = False
        # The last bytes that the client sent, in which ``cut_before_answer`` may still begin.
        self._sent = b""
        # Set when the connection was cut.
        self._ended = asyncio.Event()

    def cut(self) -> None:
        """Abort both connections. Idempotent."""
        self._ended.set()
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def run(self) -> None:
        """Pass bytes in both directions until one side ends, then end both.

        Cancelling is safe: both connections are aborted.
        """
        requests = Direction(self._faults, self._client[0], self._server[1])
        answers = Direction(self._faults, self._server[0], self._client[1])
        reading = [asyncio.ensure_future(direction.read()) for direction in (requests, answers)]
        ends = [requests.write(self._pass_request), answers.write(self._pass_answer), self._ended.wait()]
        ending = [asyncio.ensure_future(end) for end in ends]
        try:
            # Proxy.stop did not cut a connection that was still being made; end that one here.
            if not self._faults.refusing:
                await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            for task in reading + ending:
                task.cancel()
            await asyncio.gather(*reading, *ending, return_exceptions=True)

    def _pass_request(self, data: bytes) -> bytes:
        mark = self._faults.cut_before_answer
        self._sent = (self._sent + data)[-len(data) - len(mark) :]  # the mark may come in two pieces
        self._cut_at_answer = self._cut_at_answer or bool(mark and mark in self._sent)
        return data

    def _pass_answer(self, data: bytes) -> bytes:
        limit = 0 if self._cut_at_answer else self._faults.cut_after
        if limit is None:
            return data
        passing = data[:limit]
        if not self._cut_at_answer:
            self._faults.cut_after = limit - len(passing)
        self._faults.cuts += len(passing) < len(data)
        return passing


class Direction:
    """One direction of a connection: a queue of chunks, each with the instant at which it may pass."""

    def __init__(self, faults: ConnectionFaults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._faults = faults
        self._reader = reader
        self._writer = writer
        # The instant on the clock of the loop at which a chunk may pass, and the chunk; b"" ends the direction.
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_QUEUED_CHUNKS)
        self._loop = asyncio.get_running_loop()

    async def read(self) -> None:
        """Queue what the sender sends, until it ends. Cancelling is safe: what was not queued is lost."""
        with contextlib.suppress(OSError):
            while data := await self._reader.read(CHUNK_BYTES):
                wait = self._faults.delay + random.uniform(0, self._faults.jitter)
                await self._queue.put((self._loop.time() + wait, data))
        await self._queue.put((0.0, b""))

    async def write(self, allow: Callable[[bytes], bytes]) -> None:
        """Pass queued chunks to the receiver, until ``allow`` shortens a chunk or one side has ended.

        Cancelling is safe: a part of a chunk may have passed.

        Args:
            allow: takes a chunk and returns the part of it that may pass.
        """
        with contextlib.suppress(OSError):
            while True:
                due, data = await self._queue.get()
                await asyncio.sleep(due - self._loop.time())
                passing = allow(data)
                await self._pass(passing)
                if not data or len(passing) < len(data):
                    return

    async def _pass(self, data: bytes) -> None:
        faults, at = self._faults, 0
        while at < len(data):
            await faults.flowing.wait()
            size = faults.slices or CHUNK_BYTES
            if faults.bandwidth:
                size = min(size, max(1, faults.bandwidth // PIECES_PER_SECOND))
            piece = data[at : at + size]
            self._writer.write(piece)
            await self._writer.drain()
            at += len(piece)
            if faults.bandwidth:
                await asyncio.sleep(len(piece) / faults.bandwidth)
            elif faults.slices:
                await asyncio.sleep(0)
