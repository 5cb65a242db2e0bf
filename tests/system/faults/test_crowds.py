"""Very many callers at once: what they cost, and what is left of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from servicebus import Service, ServiceBus
from servicebus.testing.servers import Cluster, Server

from ...support.faults.crowd import CHANNEL
from ...support.faults.record import Figures
from ...support.processes import ROOT, end, environment
from ...support.timing import LONG, MS, allowed, eventually

AT_ONCE = 10_000
PROCESSES, BUSES = 4, 25
EXPIRY = 0.5

COUNTS = (":pushed", ":withdrawn")
"""How the keys end that number what is sent to a channel."""


class Waiting:
    """A service whose handlers all wait for one word."""

    def __init__(self, name: str = "crowd") -> None:
        self.service, self.go_on, self.begun = Service(name), asyncio.Event(), 0
        self.service.handler("wait")(self.wait)

    async def wait(self, message: dict[str, Any]) -> None:
        self.begun += 1
        await self.go_on.wait()


def connections(*servers: Server) -> int:
    return sum(name.startswith("crowd-") for server in servers for name in server.clients().values())


@pytest.mark.row(21)
async def test_ten_thousand_calls_at_once_on_one_server_need_two_connections(
    own_server: Server, figures: Figures
) -> None:
    waiting = Waiting()
    async with ServiceBus(own_server.url) as worker, worker.serving(waiting.service, concurrency=AT_ONCE):
        async with ServiceBus(own_server.url, service="crowd") as bus:
            calls = [asyncio.create_task(bus.call(CHANNEL, {"type": "wait"}, timeout=60.0)) for _ in range(AT_ONCE)]
            await eventually(lambda: waiting.begun == AT_ONCE, within=LONG)
            assert bus.pending == AT_ONCE
            used = connections(own_server)
            waiting.go_on.set()
            await asyncio.gather(*calls)
    figures(21, f"{AT_ONCE} calls at once on one server: {used} connections")
    assert used == 2


@pytest.mark.row(21)
async def test_ten_thousand_calls_on_a_cluster_need_one_connection_per_node(cluster: Cluster, figures: Figures) -> None:
    several = [Waiting(f"crowd-{number}") for number in range(8)]
    each = AT_ONCE // len(several)
    async with ServiceBus(cluster.url, service="worker") as worker, ServiceBus(cluster.url, service="crowd") as bus:
        servings = [worker.serving(waiting.service, concurrency=each) for waiting in several]
        for serving in servings:
            await serving.__aenter__()
        calls = [
            asyncio.create_task(bus.call(waiting.service.request_channel, {"type": "wait"}, timeout=60.0))
            for waiting in several
            for _ in range(each)
        ]
        await eventually(lambda: sum(waiting.begun for waiting in several) == AT_ONCE, within=LONG)
        used = connections(*cluster.nodes)
        for waiting in several:
            waiting.go_on.set()
        await asyncio.gather(*calls)
        for serving in servings:
            await serving.__aexit__(None, None, None)
    figures(21, f"{AT_ONCE} calls at once on a cluster of {len(cluster.nodes)}: {used} connections")
    assert 2 <= used <= 2 + len(cluster.nodes)


@contextmanager
def crowds(url: str, calls: int) -> Iterator[list[int]]:
    """Processes full of waiting callers, by their IDs."""
    command = [sys.executable, "-m", "tests.support.faults.crowd", url, str(BUSES), str(calls // PROCESSES // BUSES)]
    started = [subprocess.Popen(command, cwd=ROOT, env=environment()) for _ in range(PROCESSES)]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait(10)


@pytest.mark.row(26)
async def test_nothing_is_left_of_callers_that_were_killed_while_they_waited(
    own_server: Server, figures: Figures
) -> None:
    """Their replies come when they are dead, and lie in inboxes that nobody reads."""
    calls, waiting = AT_ONCE, Waiting()
    async with ServiceBus(own_server.url, expiry=EXPIRY) as worker, worker.serving(waiting.service, concurrency=calls):
        with crowds(own_server.url, calls) as pids:
            await eventually(lambda: waiting.begun == calls, within=60.0)
            for pid in pids:
                end(pid)
            await eventually(lambda: connections(own_server) == 0)
        waiting.go_on.set()
        await eventually(lambda: worker.counters.handled == calls, within=LONG)
        await asyncio.sleep(50 * MS)
        left = len(own_server.all_keys("*!}"))
    assert left == PROCESSES * BUSES
    gone = await eventually(lambda: not [key for key in own_server.all_keys() if not key.endswith(COUNTS)], within=LONG)
    # The counts of the channel live for as long as what its callers sent may lie there.
    assert all(own_server.run("PTTL", key) > 0 for key in own_server.all_keys())
    figures(26, f"{calls} callers killed: {left} keys, 0 after {gone:.1f} s (TTL {EXPIRY + 1:.1f} s)")
    assert gone <= allowed(EXPIRY + 1 + 1)
