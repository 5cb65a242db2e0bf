"""Calls of one service in one process, with their history."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

from servicebus import Request, Service, ServiceBus, ServiceBusError
from servicebus.testing import checker
from servicebus.testing.history import OUTCOME_OF, Event, Recorder

from .timing import MS, allowed, eventually

Outcome = Literal["yes", "maybe", "no"]
LATE_START = 50 * MS
"""What a loop that is busy may put between the check of a deadline and the start."""


class Run(Request[int]):
    n: int


class History:
    """Calls of numbered ``Run`` requests, and the service that runs them. ``problems`` says what was broken."""

    def __init__(self) -> None:
        self._recorder = Recorder()
        self.service = Service("shop")
        self.service.handler(self.run)
        self.work = self._at_once

    @property
    def events(self) -> list[Event]:
        return self._recorder.events

    async def run(self, request: Run) -> int:
        with self._recorder.running(str(request.n)):
            await self.work(request.n)
        return request.n

    async def call(self, bus: ServiceBus, number: int, timeout: float = 2.0) -> Outcome:
        """Make the call and return what its outcome says of whether it ran."""
        try:
            with self._recorder.calling(str(number), timeout=timeout):
                assert await bus.call("shop.request", Run(n=number), timeout=timeout) == number
        except ServiceBusError as error:
            return error.executed
        return "yes"

    def count(self, kind: str) -> int:
        """The events of a kind, which may be given in the words of ``error.executed``."""
        wanted = OUTCOME_OF.get(kind, kind)
        return sum(event.kind == wanted for event in self.events)

    def numbers(self, kind: str) -> list[int]:
        return [int(event.id) for event in self.events if event.kind == kind]

    def problems(self) -> list[str]:
        return checker.problems(self.events, grace=allowed(checker.OUTCOME_GRACE), late_start=allowed(LATE_START))

    async def _at_once(self, number: int) -> Any:
        """What a handler does, unless a test says otherwise."""


class Callers:
    """Callers of one bus, each of which makes one call after the other. They go on until they have achieved enough.

    Enough are ``calls`` calls of which ``replies`` had a reply, however long a busy machine takes over them. The share
    ``giving_up`` of the calls is cancelled at a random instant.
    """

    PAUSE = 40 * MS
    """Seconds between two calls of one caller, at most."""
    WITHIN = 60.0
    """Seconds until the test fails because too few calls had a reply."""

    def __init__(
        self,
        history: History,
        bus: ServiceBus,
        timeouts: Sequence[float],
        *,
        calls: int,
        replies: int,
        giving_up: float = 0.0,
    ) -> None:
        self._history, self._bus, self._timeouts = history, bus, timeouts
        self._calls, self._replies, self._giving_up = calls, replies, giving_up
        self._numbers = count()
        self.made = 0
        """Calls that have ended."""
        self.replies = 0
        """Calls that had a reply."""

    @property
    def have_enough(self) -> bool:
        return self.made >= self._calls and self.replies >= self._replies

    async def run(self, callers: int = 64) -> None:
        """Call until that is enough. Raises TimeoutError when it takes too long."""
        async with asyncio.timeout(self.WITHIN):
            await asyncio.gather(*(self._keep_calling() for _ in range(callers)))

    async def another_reply(self) -> None:
        """Wait until one more call has had a reply, or until there were enough."""
        before = self.replies
        await eventually(lambda: self.replies > before or self.have_enough, within=self.WITHIN)

    async def _keep_calling(self) -> None:
        while not self.have_enough:
            await asyncio.sleep(random.uniform(0, self.PAUSE))
            call = asyncio.create_task(self._call(next(self._numbers)))
            if random.random() < self._giving_up:
                await asyncio.sleep(random.uniform(0, self.PAUSE))
                call.cancel()
            await asyncio.wait([call])
            self.made += 1
            if not call.cancelled() and call.result() == "yes":
                self.replies += 1

    async def _call(self, number: int) -> Outcome:
        return await self._history.call(self._bus, number, random.choice(self._timeouts))
