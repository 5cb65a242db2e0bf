"""Calls of one service in one process, with their history."""

from __future__ import annotations

from typing import Any, Literal

from servicebus import Request, Service, ServiceBus, ServiceBusError
from servicebus.testing import checker
from servicebus.testing.history import OUTCOME_OF, Event, Recorder

from .timing import MS, allowed

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
        return checker.problems(self.events, grace=allowed(checker.GRACE), late_start=allowed(LATE_START))

    async def _at_once(self, number: int) -> Any:
        """What a handler does, unless a test says otherwise."""
