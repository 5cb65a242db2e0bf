"""What was called and what ran, in the order in which it happened, and whether that keeps the bus's promises."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from servicebus import Request, Service, ServiceBus, ServiceBusError

from .timing import MS, allowed

Kind = Literal["invoke", "start", "end", "yes", "maybe", "no", "cancelled"]
OUTCOMES = ("yes", "maybe", "no", "cancelled")
GRACE = 100 * MS
LATE_START = 50 * MS
"""What a loop that is busy may put between the check of a deadline and the start."""


class Run(Request[int]):
    n: int


@dataclass(frozen=True, slots=True)
class Event:
    kind: Kind
    number: int
    at: float
    deadline: float = 0.0


class History:
    """Calls of numbered ``Run`` requests, and the service that runs them. ``problems`` says what was broken."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.service = Service("shop")
        self.service.handler(self.run)
        self.work = self._at_once

    async def run(self, request: Run) -> int:
        self.note("start", request.n)
        await self.work(request.n)
        self.note("end", request.n)
        return request.n

    async def call(self, bus: ServiceBus, number: int, timeout: float = 2.0) -> Kind:
        """Make the call and return what its outcome says of whether it ran."""
        self.note("invoke", number, time.monotonic() + timeout)
        outcome: Kind = "cancelled"
        try:
            assert await bus.call("shop.request", Run(n=number), timeout=timeout) == number
            outcome = "yes"
        except ServiceBusError as error:
            outcome = error.executed
        finally:
            self.note(outcome, number)
        return outcome

    def note(self, kind: Kind, number: int, deadline: float = 0.0) -> None:
        self.events.append(Event(kind, number, time.monotonic(), deadline))

    def count(self, kind: Kind) -> int:
        return sum(event.kind == kind for event in self.events)

    def numbers(self, kind: Kind) -> list[int]:
        return [event.number for event in self.events if event.kind == kind]

    def problems(self) -> list[str]:
        """At most one start; one outcome; no start after an outcome "no" or the deadline; outcomes in time."""
        grace, latest = allowed(GRACE), allowed(LATE_START)
        starts, outcomes = Counter(self.numbers("start")), Counter[int]()
        found = [f"{number} started {times} times" for number, times in starts.items() if times > 1]
        deadlines = {event.number: event.deadline for event in self.events if event.kind == "invoke"}
        for event in self.events:
            late = event.at - deadlines.get(event.number, event.at)
            if event.kind == "start" and late > latest:
                found.append(f"{event.number} started {late:.3f} s after its deadline")
            if event.kind in OUTCOMES:
                outcomes[event.number] += 1
                found += self._lies(event, starts[event.number], late, grace)
        found += [f"{number} had {outcomes[number]} outcomes" for number in deadlines if outcomes[number] != 1]
        return found

    @staticmethod
    def _lies(event: Event, starts: int, late: float, grace: float) -> list[str]:
        lies = [
            (event.kind == "no" and starts > 0, f"{event.number} ran, and its caller was told that it did not"),
            (event.kind == "yes" and starts == 0, f"{event.number} did not run, and its caller was told that it did"),
            (late > grace, f"{event.number} had its outcome {late:.3f} s after its deadline"),
        ]
        return [text for true, text in lies if true]

    async def _at_once(self, number: int) -> Any:
        """What a handler does, unless a test says otherwise."""
