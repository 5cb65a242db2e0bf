"""A contract with an operation of each kind, its service, and downstreams that fail as a script says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import Any

import msgspec

from servicebus import Request, Service, ServiceError
from servicebus.api.middleware import CallNext, Invocation, ServiceMiddleware

CHANNEL = "desk.request"


class Receipt(msgspec.Struct):
    number: int
    amount: int


class Look(Request[int], tag="look", idempotent=True):
    number: int = 0


class Charge(Request[Receipt], tag="charge", idempotent="keyed"):
    amount: int
    seconds: float = 0.0


class Note(Request[int], tag="note"):
    """It promises nothing."""

    number: int = 0


class Declined(ServiceError, code="tests_desk_declined"):
    limit: int


class Desk:
    """The service, how often each of its handlers was started, and how many work now."""

    def __init__(self, *middleware: ServiceMiddleware, seconds: Iterable[float] = ()) -> None:
        self.started: Counter[str] = Counter()
        self.running = 0
        self.service = Service("desk", middleware=middleware)
        self._seconds = iter(seconds)
        for handler in (self.look, self.charge, self.note):
            self.service.handler(handler)

    async def look(self, request: Look) -> int:
        await self._work("look")
        return request.number

    async def note(self, request: Note) -> int:
        await self._work("note")
        return request.number

    async def charge(self, request: Charge) -> Receipt:
        number = self.started["charge"] + 1
        await self._work("charge")
        await asyncio.sleep(request.seconds)
        if request.amount > 1000:
            raise Declined(limit=1000)
        return Receipt(number, request.amount)

    async def _work(self, name: str) -> None:
        self.started[name] += 1
        self.running += 1
        try:
            await asyncio.sleep(next(self._seconds, 0.0))
        finally:
            self.running -= 1


class Clock:
    """One that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Downstream:
    """What a policy proceeds to: it ends as the script says, step by step, and well when the script is over."""

    def __init__(self, *script: Exception | float | None) -> None:
        self.script = list(script)
        self.seen: list[Invocation] = []

    @property
    def sent(self) -> int:
        return len(self.seen)

    async def __call__(self, invocation: Invocation) -> Any:
        self.seen.append(invocation)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await asyncio.sleep(step)
        return self.sent


class Counting:
    """Innermost middleware of a bus: what really leaves."""

    def __init__(self) -> None:
        self.seen: list[Invocation] = []

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        self.seen.append(invocation)
        return await call_next(invocation)


async def outcome_of(awaitable: Awaitable[Any]) -> Any:
    """The value, or the error."""
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return error


def call(message: Any, timeout: float = 1.0, channel: str = CHANNEL) -> Invocation:
    return Invocation("call", channel, message, timeout)
