"""The checker of histories, and a run in which everything goes wrong at once."""

from __future__ import annotations

import asyncio
import random

import pytest

from servicebus import ServiceBus
from servicebus.testing import checker
from servicebus.testing.history import Event, Kind
from servicebus.testing.proxy import Proxy, proxied
from servicebus.testing.servers import Server

from ...support.history import Callers, History
from ...support.shop import calling
from ...support.timing import MS


def history(*events: tuple[Kind, int, float]) -> History:
    """Calls with a deadline at 10, recorded at the instants that are given."""
    found = History()
    found.events.extend(
        Event(kind, str(number), at, deadline=10.0 if kind == "invoke" else 0.0) for kind, number, at in events
    )
    return found


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([("invoke", 1, 0), ("start", 1, 1), ("end", 1, 2), ("ok", 1, 3)], ""),
        ([("invoke", 1, 0), ("start", 1, 1), ("maybe", 1, 10)], ""),
        ([("invoke", 1, 0), ("fail", 1, 10)], ""),
        ([("invoke", 1, 0), ("start", 1, 1), ("start", 1, 2), ("ok", 1, 3)], "1 started 2 times"),
        ([("invoke", 1, 0), ("start", 1, 1), ("fail", 1, 3)], "1 ran, and its caller was told that it did not"),
        ([("invoke", 1, 0), ("fail", 1, 3), ("start", 1, 4)], "1 ran, and its caller was told that it did not"),
        ([("invoke", 1, 0), ("ok", 1, 3)], "1 did not run, and its caller was told that it did"),
        ([("invoke", 1, 0), ("maybe", 1, 10), ("start", 1, 10.1)], "1 started 0.100 s after its deadline"),
        ([("invoke", 1, 0), ("maybe", 1, 10.5)], "1 had its outcome 0.500 s after its deadline"),
        ([("invoke", 1, 0)], "1 had 0 outcomes"),
        ([("invoke", 1, 0), ("maybe", 1, 1), ("fail", 1, 1)], "1 had 2 outcomes"),
    ],
)
def test_the_checker_finds_what_it_is_there_for(events: list[tuple[Kind, int, float]], problem: str) -> None:
    found = checker.problems(history(*events).events, grace=0.1, late_start=0.05)
    assert found == ([problem] if problem else [])


async def test_calls_keep_their_promises(url: str) -> None:
    found = History()
    async with calling(url, found.service, found.service) as bus:
        await asyncio.gather(*(found.call(bus, number) for number in range(1000)))
    assert found.problems() == []
    assert found.count("yes") == 1000


async def test_promises_are_kept_while_workers_come_and_go_and_callers_give_up(url: str) -> None:
    found = History()
    found.work = take_a_while
    async with ServiceBus(url) as bus, ServiceBus(url) as worker:
        callers = Callers(found, bus, [0.01, 0.05, 0.2, 1.0], calls=1500, replies=100, giving_up=0.1)
        calling = asyncio.create_task(callers.run())
        while not calling.done():
            async with worker.serving(found.service, concurrency=random.choice([2, 20])):
                await asyncio.sleep(random.uniform(5, 60) * MS)
        await calling
        assert bus.pending == 0
    assert found.problems() == []


async def take_a_while(number: int) -> None:
    await asyncio.sleep(random.choice([0, 1, 5, 30]) * MS)


async def test_promises_are_kept_while_links_break_and_connections_are_killed(server: Server) -> None:
    found = History()
    found.work = take_a_while
    async with (
        proxied(server.path) as one,
        proxied(server.path) as other,
        ServiceBus(one.url) as bus,
        ServiceBus(other.url) as worker,
        ServiceBus(server.url) as steady,
        worker.serving(found.service, concurrency=20, drain=1.0),
        steady.serving(found.service, concurrency=5),
    ):
        callers = Callers(found, bus, [0.05, 0.2, 1.0], calls=2000, replies=500)
        calling = asyncio.create_task(callers.run())
        while not calling.done():
            disturb(random.choice([one, other]), server)
            await asyncio.sleep(10 * MS)
            if random.random() < 0.3:
                # A busy machine does nothing but reconnect when the next disturbance always comes at once.
                leave_alone(one, other)
                await callers.another_reply()
        leave_alone(one, other)
        await calling
        assert bus.pending == 0
    assert found.problems() == []


def leave_alone(*proxies: Proxy) -> None:
    for proxy in proxies:
        proxy.cut_after, proxy.slices, proxy.delay = None, 0, 0.0


def disturb(proxy: Proxy, server: Server) -> None:
    """Change what the proxy does to its links at random, and now and then end one of them, or a connection."""
    proxy.cut_after = random.choice([None, None, random.randrange(3000)])
    proxy.slices = random.choice([0, 0, 0, 100])
    proxy.delay = random.choice([0, 0, MS])
    if random.random() < 0.2:
        proxy.cut()
    if random.random() < 0.2:
        server.run("CLIENT", "KILL", "ID", random.choice(list(server.clients()) or [0]))
