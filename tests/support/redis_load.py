"""A steady load of calls and one-way messages on several channels, and the history of what became of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

from servicebus import Service, ServiceBus, ServiceBusError
from servicebus.config import DEFAULT_PRESENCE_TTL, Timing
from servicebus.testing.checker import OUTCOME_GRACE, problems
from servicebus.testing.history import Event, Recorder

from .shop import serving_all
from .timing import (
    LAG,
    LONG,
    MS,
    Stopwatch,
    allowed,
    eventually,
)

EVERY = 10 * MS
TIMEOUT = 1.0
ROW = 50
"""Calls that a channel must have served one after the other before it counts as served again."""


class Load:
    """On each of ``channels`` channels a call with a ``timeout`` and a one-way message every 10 ms.

    The calls and messages of a channel are numbered in the order in which they were sent.
    """

    def __init__(self, channels: int = 8, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._recorder = Recorder()
        self.services = tuple(self._service(f"shop{number}") for number in range(channels))
        self.channels = [service.request_channel for service in self.services]
        self.errors: Counter[str] = Counter()
        self.fenced = 0
        self._ids = count(1)
        self._rows: Counter[str] = Counter()
        self._pending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def on(
        self, url: str, presence_ttl: float = DEFAULT_PRESENCE_TTL, timing: Timing | None = None
    ) -> AsyncIterator[ServiceBus]:
        """Serve the channels, and load them for the duration of the block. Yields the caller's bus."""
        async with (
            ServiceBus(url, service="worker", presence_ttl=presence_ttl, timing=timing) as worker,
            ServiceBus(url, service="tests", timing=timing) as bus,
        ):
            async with serving_all(worker, self.services, 256):
                await bus.wait_for_workers(*self.channels)
                async with self._flowing(bus):
                    await self.served()
                    await from_now_on()
                    yield bus
                self.fenced = worker.counters.fenced_frames + bus.counters.fenced_frames

    @property
    def events(self) -> list[Event]:
        return self._recorder.events

    async def served(self, within: float = LONG) -> None:
        """Wait until each channel has served a row of calls without an error between them."""
        self._rows.clear()
        await eventually(lambda: all(self._rows[channel] >= ROW for channel in self.channels), within)

    def back_after(self, instant: float) -> float:
        """Seconds from ``instant`` to the last call that failed."""
        failed = {event.id for event in self._recorder.events if event.kind in ("fail", "maybe")}
        invoked = [event.at for event in self._recorder.events if event.kind == "invoke" and event.id in failed]
        return max(invoked, default=instant) - instant

    def slowest(self) -> float:
        """The seconds that the slowest call or message took until it had a good end."""
        made = {event.id: event.at for event in self._recorder.events if event.kind == "invoke"}
        return max(event.at - made[event.id] for event in self._recorder.events if event.kind == "ok")

    def problems(self) -> list[str]:
        """What was broken of the promises of the bus."""
        return problems(self._recorder.events, grace=allowed(OUTCOME_GRACE), late_start=allowed(50 * MS))

    def lost(self) -> int:
        """One-way messages that were accepted and did not run."""
        kinds: dict[str, set[str]] = {kind: set() for kind in ("invoke", "ok", "start")}
        for event in self._recorder.events:
            kinds.get(event.kind, set()).add(event.id)
        return len(kinds["ok"] - kinds["start"])

    @asynccontextmanager
    async def _flowing(self, bus: ServiceBus) -> AsyncIterator[None]:
        flow = asyncio.create_task(self._flow(bus))
        try:
            yield
        finally:
            flow.cancel()
            with suppress(asyncio.CancelledError):
                await flow
            await asyncio.gather(*self._pending)

    async def _flow(self, bus: ServiceBus) -> None:
        for sequence in count(1, 2):
            for channel in self.channels:
                self._own(self._call(bus, channel, sequence))
                self._own(self._send(bus, channel, sequence + 1))
            await asyncio.sleep(EVERY)

    def _own(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _call(self, bus: ServiceBus, channel: str, sequence: int) -> None:
        n = next(self._ids)
        try:
            with self._recorder.calling(str(n), timeout=self._timeout, channel=channel, sequence=sequence):
                assert await bus.call(channel, {"type": "run", "n": n}, timeout=self._timeout) == n
            self._rows[channel] += 1
        except ServiceBusError as error:
            self._failed(channel, error)

    async def _send(self, bus: ServiceBus, channel: str, sequence: int) -> None:
        n = next(self._ids)
        try:
            with self._recorder.calling(str(n), channel=channel, sequence=sequence, reply=False):
                await bus.send(channel, {"type": "run", "n": n})
        except ServiceBusError as error:
            self._failed(channel, error)

    def _failed(self, channel: str, error: ServiceBusError) -> None:
        self._rows[channel] = 0
        self.errors[f"{type(error).__name__}, {error.executed}"] += 1

    def _service(self, name: str) -> Service:
        service = Service(name)

        @service.handler("run")
        async def run(message: dict[str, Any]) -> int:
            with self._recorder.running(str(message["n"])):
                found: int = message["n"]
            return found

        return service


async def seconds_of(work: Callable[[], Awaitable[None]]) -> float:
    """How long it takes."""
    with Stopwatch() as watch:
        await work()
    return watch.seconds


def now() -> float:
    """On the clock of the history."""
    return time.monotonic()


async def from_now_on() -> None:
    """How late the loop was while servers were started does not count."""
    await asyncio.sleep(4 * LAG.EVERY)
    LAG.worst = 0.0
