"""A bus on a real server, used and disturbed in every order that Hypothesis comes upon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from servicebus import NoWorkers, Service, ServiceBus, ServiceBusError
from servicebus.testing.checker import OUTCOME_GRACE, problems
from servicebus.testing.history import Recorder
from servicebus.testing.servers import Server

from ...support.faults.record import Figures, Record
from ...support.faults.sizes import sized
from ...support.history import LATE_START
from ...support.timing import (
    LAG,
    MS,
    allowed,
    eventually,
)

CHANNEL = "site.request"
LONG, SHORT = 20.0, 0.02
T = TypeVar("T")


class BusUnderFire(RuleBasedStateMachine):
    """One caller, one worker that comes and goes. ``held`` are calls whose handlers wait to be told to go on.

    What is certain while nothing is disturbed is asserted at once; the rest is what the history must show in the end.
    """

    server: Server
    numbers: count[int]
    record: Record
    kills = 0

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.recorder = Recorder()
        self.held: dict[str, asyncio.Task[str]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.unsure: set[str] = set()
        self.expired = False
        self.serving: AbstractAsyncContextManager[Any] | None = None
        self.bus, self.worker = ServiceBus(self.server.url), ServiceBus(self.server.url)
        self.run(self.opened())
        self.start_worker()

    async def opened(self) -> None:
        LAG.start()
        await self.bus.open()
        await self.worker.open()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(self._within(work))

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(30):
            return await work

    def service(self) -> Service:
        service = Service("site")

        @service.handler("run")
        async def run(message: dict[str, Any]) -> str:
            id = str(message["id"])
            with self.recorder.running(id):
                if message["hold"]:
                    await self.gates[id].wait()
            return id

        return service

    async def called(self, id: str, timeout: float, hold: bool = False) -> str:
        """What became of a call: ``ok`` or the name of the error and what that says."""
        try:
            with self.recorder.calling(id, timeout=timeout):
                assert await self.bus.call(CHANNEL, {"type": "run", "id": id, "hold": hold}, timeout=timeout) == id
        except ServiceBusError as error:
            return f"{type(error).__name__}, {error.executed}"
        return "ok"

    def id(self) -> str:
        return self.record.id(next(self.numbers))

    def started(self, id: str) -> bool:
        return any(event.kind == "start" and event.id == id for event in self.recorder.events)

    @rule()
    def call(self) -> None:
        assert self.run(self.called(self.id(), LONG)) == ("ok" if self.serving else "NoWorkers, no")

    @precondition(lambda self: self.serving is not None and len(self.held) < 5)
    @rule()
    def call_and_wait(self) -> None:
        id = self.id()

        async def begun() -> None:
            self.gates[id] = asyncio.Event()
            self.held[id] = asyncio.create_task(self.called(id, LONG, hold=True))
            await eventually(lambda: self.started(id))

        self.run(begun())

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def let_go_on(self, data: st.DataObject) -> None:
        id = self.one_of_the_held(data)
        self.gates[id].set()
        if id not in self.unsure:
            assert self.run(self.outcome(id)) == "ok"

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = self.one_of_the_held(data)
        self.held[id].cancel()
        with suppress(asyncio.CancelledError):
            self.run(self.outcome(id))

    def one_of_the_held(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.held)), label="held")

    async def outcome(self, id: str) -> str:
        return await self.held.pop(id)

    @precondition(lambda self: self.serving is not None and not self.expired)
    @rule()
    def expire_while_it_runs(self) -> None:
        """Its handler would go on for ever; at the deadline nobody can say that it did not run.

        Once is enough in each example, for it takes as long as everything else together.
        """
        self.expired, id = True, self.id()
        self.gates[id] = asyncio.Event()
        # On a machine so busy that it was not taken in time, that is certain.
        outcome = self.run(self.called(id, SHORT, hold=True))
        assert outcome == "DeadlineExceeded, maybe" or not self.started(id)
        self.gates[id].set()

    @precondition(lambda self: self.serving is None)
    @rule()
    def expire_in_the_queue(self) -> None:
        self.server.register(CHANNEL, ttl_ms=60_000)
        waiting = len(self.server.frames(CHANNEL))
        assert self.run(self.called(self.id(), SHORT)) == "DeadlineExceeded, no"
        assert len(self.server.frames(CHANNEL)) == waiting, "it was withdrawn"
        self.server.run("DEL", f"asgi:{{{CHANNEL}}}:workers")

    @precondition(lambda self: self.serving is None)
    @rule()
    def withdraw(self) -> None:
        """A call that is cancelled before anybody has taken it never starts."""
        waiting = len(self.server.frames(CHANNEL))

        async def withdrawn() -> None:
            call = asyncio.create_task(self.called(self.id(), LONG))
            await eventually(lambda: len(self.server.frames(CHANNEL)) == waiting + 1)
            call.cancel()
            await asyncio.wait([call])
            await eventually(lambda: len(self.server.frames(CHANNEL)) == waiting)

        self.server.register(CHANNEL, ttl_ms=60_000)
        self.run(withdrawn())
        self.server.run("DEL", f"asgi:{{{CHANNEL}}}:workers")

    @rule()
    def send(self) -> None:
        number = next(self.numbers)
        id = self.record.id(number)

        async def sent() -> None:
            with self.recorder.calling(id, sender="s", channel=CHANNEL, sequence=number, reply=False):
                await self.bus.send(CHANNEL, {"type": "run", "id": id, "hold": False})

        self.run(sent())
        if self.serving:
            self.run(self.eventually_started(id))

    async def eventually_started(self, id: str) -> None:
        await eventually(lambda: self.started(id))

    @precondition(lambda self: self.serving is None)
    @rule()
    def start_worker(self) -> None:
        self.serving = self.worker.serving(self.service(), drain=0.05)
        self.run(self.serving.__aenter__())

    @precondition(lambda self: self.serving is not None)
    @rule()
    def stop_worker(self) -> None:
        """Handlers that do not end within its drain are cancelled, and their callers told that nobody knows."""
        assert self.serving is not None
        serving, self.serving = self.serving, None
        self.run(serving.__aexit__(None, None, None))
        for id in sorted(self.held.keys() - self.unsure):
            assert self.run(self.outcome(id)) == "WorkerLost, maybe"
        with pytest.raises(NoWorkers):
            self.run(self.bus.call(CHANNEL, {"type": "run"}))

    @rule(data=st.data())
    def kill_a_connection(self, data: st.DataObject) -> None:
        """Of the calls that wait for a reply nothing is sure any more."""
        clients = sorted(self.server.clients())
        victim = data.draw(st.integers(0, 10), label="connection")
        self.server.run("CLIENT", "KILL", "ID", clients[victim % len(clients)])
        type(self).kills += 1
        self.unsure |= self.held.keys()
        self.run(self.mended())

    async def mended(self) -> None:
        """Until the caller, the worker and the way of replies between them are there again."""
        wanted = "ok" if self.serving else "NoWorkers, no"
        while await self.called(self.id(), 0.1) != wanted:
            await asyncio.sleep(MS)
        while len(self.server.clients()) < self.connections:
            await asyncio.sleep(MS)

    @property
    def connections(self) -> int:
        """Both buses send and listen; a worker reads its channel too."""
        return 4 + (self.serving is not None)

    @invariant()
    def nothing_pends_but_what_is_held(self) -> None:
        assert self.bus.pending <= len(self.held)

    def teardown(self) -> None:
        for gate in self.gates.values():
            gate.set()
        if self.serving is not None:
            self.run(self.serving.__aexit__(None, None, None))
        grace, late_start = self.run(self.ended())
        self.runner.close()
        events = self.recorder.events
        for event in events:
            self.record.recorder.write(event)
        assert problems(events, grace=grace, late_start=late_start) == []
        assert self.server.keys_without_ttl() == []
        self.server.run("FLUSHALL")

    async def ended(self) -> tuple[float, float]:
        """How late outcomes and starts may have been, as late as the loop was."""
        await self.bus.close()
        await self.worker.close()
        if self.held:
            await asyncio.wait(self.held.values())
        found = allowed(OUTCOME_GRACE), allowed(LATE_START)
        LAG.stop()
        return found


@pytest.mark.row(37)
def test_whatever_is_done_to_a_bus_in_whatever_order_it_keeps_its_promises(
    own_server: Server, record: Record, figures: Figures
) -> None:
    members = {"server": own_server, "record": record, "numbers": count(1), "kills": 0}
    machine = type("Machine", (BusUnderFire,), members)
    examples = sized(200, 1000)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    calls = sum(event.kind == "invoke" for event in record.events())
    figures(
        37,
        f"{examples} x 30 steps, {calls} calls and messages, {vars(machine)['kills']} connections killed, 0 failures",
    )
