"""A primary and its replica with a slow link between them, and sides that reach one of them by a way of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

from servicebus import Service, ServiceBus, ServiceBusError
from servicebus.testing.history import Recorder
from servicebus.testing.proxy import HOST, Proxy, proxied
from servicebus.testing.servers import Server
from servicebus.testing.servers.server import follows

from ..redis_load import from_now_on
from ..timing import LONG, MS, eventually
from .record import Record

MESSAGES, CALLS = "messages", "calls"
CAPACITY = 200_000
TAKES, SEND_INTERVAL = 10 * MS, 10 * MS
TIMEOUT = 1.0
ROW = 50
"""Calls that must have been answered one after the other before a side counts as served again."""


class Signpost:
    """A path that leads to the socket of one server now, and of another one later, as a name in the DNS does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def to(self, server: Server) -> None:
        new = self._path.with_suffix(".new")
        new.symlink_to(server.path)
        new.replace(self._path)


class Pair:
    """``first`` is the primary, ``second`` follows it over a link that takes ``lag`` seconds each way."""

    def __init__(self, first: Server, second: Server, link: Proxy) -> None:
        self.first, self.second, self._link = first, second, link

    async def part(self) -> None:
        """The replica hears no more of its primary, not even what is on the way, and is made one itself."""
        self._link.refusing = True
        self._link.cut()
        await asyncio.to_thread(self.second.run, "REPLICAOF", "NO", "ONE")

    async def crash(self) -> None:
        """The primary is gone, with what its replica had not heard yet, and that takes its place."""
        self._link.refusing = True
        self._link.cut()
        await asyncio.to_thread(self.first.kill)
        await self.part()

    async def demote(self) -> None:
        """The old primary follows the new one."""
        await asyncio.to_thread(self.first.run, "REPLICAOF", HOST, self.second.port)


@asynccontextmanager
async def replicated(lag: float) -> AsyncIterator[Pair]:
    """Both, in step but for the lag, for the duration of a block."""
    at_once = ("--repl-diskless-sync-delay", "0")
    with Server(*at_once, tcp=True) as first, Server(*at_once, tcp=True) as second:
        async with proxied(first.path) as link:
            link.delay = lag
            second.run("REPLICAOF", HOST, link.port)
            await eventually(lambda: follows(second), within=LONG)
            await from_now_on()
            yield Pair(first, second, link)


class Side:
    """A worker and a caller that know the primary by one way: a stream of messages, and calls beside it.

    The calls have a channel of their own, or they would wait behind the messages.

    Attributes:
        rate: messages a second, which the worker takes as fast as they come.
    """

    def __init__(self, name: str, way: Signpost, record: Record, numbers: Iterator[int], rate: int) -> None:
        self.name, self.way, self.rate = name, way, rate
        self._record, self._numbers, self._sequences = record, numbers, count(1)
        self._recorder = Recorder(record.path, by=name)
        self._services = self._service(MESSAGES, TAKES), self._service(CALLS, 0.0)
        self._pending: set[asyncio.Task[None]] = set()
        self._row = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self._recorder.close)
            buses = [ServiceBus(self.way.url, service=self.name, capacity=CAPACITY) for _ in range(2)]
            self.worker, self._bus = [await stack.enter_async_context(bus) for bus in buses]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def fill(self, messages: int) -> None:
        """Messages that wait."""
        for start in range(0, messages, 1000):
            await asyncio.gather(*(self._send() for _ in range(start, min(start + 1000, messages))))

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        """The worker serves and the caller calls, for the duration of a block; then what is under way ends."""
        messages, calls = self._services
        async with self.worker.serving(messages, concurrency=int(self.rate * TAKES)), self.worker.serving(calls):
            flow = asyncio.create_task(self._flow())
            try:
                await self.served()
                yield
            finally:
                flow.cancel()
                await asyncio.wait([flow])
                await asyncio.gather(*self._pending)

    async def served(self) -> None:
        """Wait until a row of calls has been answered."""
        self._row = 0
        await eventually(lambda: self._row >= ROW, within=LONG)

    def leave(self, server: Server) -> None:
        """Close all connections of this side to the server."""
        for id, name in server.clients().items():
            if name.startswith(self.name):
                server.run("CLIENT", "KILL", "ID", id)

    async def _flow(self) -> None:
        begin, made = time.monotonic(), 0
        while True:
            for _ in range(int(self.rate * (time.monotonic() - begin)) - made):
                self._own(self._send())
                made += 1
            self._own(self._call())
            await asyncio.sleep(SEND_INTERVAL)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _send(self) -> None:
        id, sequence, channel = self._record.id(next(self._numbers)), next(self._sequences), f"{MESSAGES}.request"
        recording = self._recorder.calling(id, sender=self.name, channel=channel, sequence=sequence, reply=False)
        with suppress(ServiceBusError), recording:
            await self._bus.send(channel, {"type": "run", "id": id})

    async def _call(self) -> None:
        id, channel = self._record.id(next(self._numbers)), f"{CALLS}.request"
        try:
            with self._recorder.calling(id, timeout=TIMEOUT, sender=self.name, channel=channel):
                assert await self._bus.call(channel, {"type": "run", "id": id}, timeout=TIMEOUT) == id
            self._row += 1
        except ServiceBusError:
            self._row = 0

    def _service(self, name: str, takes: float) -> Service:
        service = Service(name)

        @service.handler("run")
        async def run(message: dict[str, Any]) -> str:
            with self._recorder.running(message["id"]):
                await asyncio.sleep(takes)
            return str(message["id"])

        return service
