from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import hiredis
import pytest

from servicebus.layers.limits import Limits
from servicebus.layers.redis.connection.connection import ConnectionLost, NeverSent
from servicebus.layers.redis.connection.outage_report import OutageReport
from servicebus.layers.redis.maintenance import Maintenance
from servicebus.layers.redis.receiving.registration import Registration
from servicebus.layers.redis.schema.keys import Keys

from ....support.timing import eventually

PRESENCE = 4.5
"""Seconds that registrations hold: heartbeats come every 1.5 seconds, repetitions sooner."""
KEYS = Keys("asgi")


class FakeNodes:
    """One server that answers the first commands with ``refusals``, and takes all others."""

    def __init__(self, refusals: list[Exception]) -> None:
        self.refusals = refusals
        self.written = list[bytes]()
        self.heartbeats = 0
        self.link = SimpleNamespace(locator=SimpleNamespace(report=OutageReport()))

    def pipeline(self, name: str) -> FakeNodes:
        return self

    def write(self, data: bytes, answer: Callable[[Any], None]) -> None:
        self.written.append(data)
        reply = self.refusals.pop(0) if self.refusals else 1
        asyncio.get_running_loop().call_soon(answer, reply)

    def on_heartbeat_refused(self, reply: Exception) -> None:
        """Nothing is to be mended."""

    def ask_time(self, command: bytes, answer: Callable[[Any], None]) -> None:
        self.heartbeats += 1

    def check_health(self) -> None:
        """All is well."""


class BrokenKeys(Keys):
    """Names no key, so that a registration cannot be packed."""

    def workers(self, channel: str) -> bytes:
        return None  # type: ignore[return-value]


class FakeReceiver:
    """A worker of one channel. With ``broken``, whatever it is asked raises."""

    stopped = False

    def __init__(self, channel: str, broken: bool = False) -> None:
        self.channel = channel
        self.registration = Registration(BrokenKeys("asgi") if broken else KEYS, channel, "worker@x!", 5000)
        self.checks = 0
        self._broken = broken

    def check_silence(self) -> None:
        self.checks += 1
        if self._broken:
            raise RuntimeError("a fault of the program")


def maintained(nodes: Any, *receivers: Any, presence: float = PRESENCE) -> Maintenance:
    maintenance = Maintenance(nodes, KEYS, Limits(presence_ttl=presence))
    maintenance.receivers.extend(receivers)
    maintenance.start()
    return maintenance


REFUSALS = (
    hiredis.ReplyError("MOVED 7 127.0.0.1:1"),
    hiredis.ReplyError("NOSCRIPT No matching script"),
    hiredis.ReplyError("CLUSTERDOWN The cluster is down"),
    hiredis.ReplyError("TRYAGAIN Multiple keys request during rehashing of slot"),
    hiredis.ReplyError("LOADING the dataset in memory"),
    NeverSent(),
    ConnectionLost(),
)


async def test_what_is_refused_at_a_heartbeat_is_repeated_before_the_next() -> None:
    times = 3

    async def repeats(refusal: Exception, *workers: Any, subscription: bool = False) -> None:
        nodes = FakeNodes([refusal] * times)
        maintenance = maintained(nodes, *workers)
        if subscription:
            maintenance.subscriptions.append(("event", "orders"))
        await eventually(lambda: len(nodes.written) > times)
        assert (nodes.heartbeats, len(nodes.written)) == (1, times + 1), (refusal, subscription)
        await maintenance.stop()

    async with asyncio.TaskGroup() as cases:
        for refusal in REFUSALS:
            cases.create_task(repeats(refusal, FakeReceiver("orders")))
            cases.create_task(repeats(refusal, subscription=True))


@pytest.mark.parametrize("what", ["registration", "subscription", "the whole"])
async def test_nothing_is_repeated_that_is_not_wanted_any_more(what: str) -> None:
    nodes, receiver = FakeNodes([hiredis.ReplyError("MOVED 7 127.0.0.1:1")] * 1000), FakeReceiver("orders")
    maintenance = maintained(nodes, receiver, presence=0.9)
    maintenance.subscriptions.append(("event", "orders"))
    await eventually(lambda: len(nodes.written) >= 2)
    if what == "the whole":
        await maintenance.stop()
    else:
        receiver.registration.end()
        maintenance.subscriptions.clear()
    written = len(nodes.written)
    await asyncio.sleep(0.3)
    assert len(nodes.written) == written
    await maintenance.stop()


async def test_a_fault_of_one_reader_does_not_end_the_heartbeats_of_others() -> None:
    nodes, whole = FakeNodes([]), FakeReceiver("whole")
    maintenance = maintained(nodes, FakeReceiver("broken", broken=True), whole, presence=0.3)
    await eventually(lambda: nodes.heartbeats >= 3 and len(nodes.written) >= 3 and whole.checks >= 3)
    await maintenance.stop()
