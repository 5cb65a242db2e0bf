"""Servers that answer and will not do it: every caller is told so, and that nothing ran."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import hiredis
import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.testing.servers import Admin, Server

from ...support.busy_server import never_ending_script
from ...support.faults.local import served, site
from ...support.faults.record import Figures, Record
from ...support.faults.worker_site import CHANNEL
from ...support.timing import LONG, MS, eventually

CALLS = 100


@asynccontextmanager
async def full(server: Server) -> AsyncIterator[None]:
    server.run("CONFIG", "SET", "maxmemory", "1")
    yield
    server.run("CONFIG", "SET", "maxmemory", "0")


@asynccontextmanager
async def busy(server: Server) -> AsyncIterator[None]:
    server.run("CONFIG", "SET", "busy-reply-threshold", "1")
    running = asyncio.create_task(asyncio.to_thread(never_ending_script, server.path))
    await answering(server, "BUSY")
    yield
    server.run("SCRIPT", "KILL")
    await running


@asynccontextmanager
async def loading(server: Server) -> AsyncIterator[None]:
    """It reads its data set again, slowly, and answers meanwhile."""
    for number in range(2000):
        server.run("SET", f"ballast-{number}", "x" * 100, "PX", 60_000)
    for option, value in (("key-load-delay", 1000), ("loading-process-events-interval-bytes", 1024)):
        server.run("CONFIG", "SET", option, value)
    another = Admin(server.path)
    reading = asyncio.create_task(asyncio.to_thread(another.run, "DEBUG", "RELOAD"))
    await answering(server, "LOADING")
    yield
    server.run("CONFIG", "SET", "key-load-delay", 0)
    await reading
    another.close()


@asynccontextmanager
async def replica(server: Server) -> AsyncIterator[None]:
    server.run("REPLICAOF", "127.0.0.1", "1")
    yield
    server.run("REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def forbidden(server: Server) -> AsyncIterator[None]:
    server.run("ACL", "SETUSER", "default", "-evalsha")
    yield
    server.run("ACL", "SETUSER", "default", "+evalsha")


async def answering(server: Server, word: str) -> None:
    await eventually(lambda: refused_with(server, word))


def refused_with(server: Server, word: str) -> bool:
    try:
        server.run("EXISTS", "x")
    except hiredis.ReplyError as error:
        return str(error).startswith(word)
    return False


@pytest.fixture
def talkative() -> Iterator[Server]:
    with Server("--enable-debug-command", "yes") as started:
        yield started


State = Callable[[Server], AbstractAsyncContextManager[None]]


@pytest.mark.row(23)
@pytest.mark.parametrize(
    ("state", "word", "retryable"),
    [
        (full, "OOM", True),
        (busy, "BUSY", True),
        (loading, "LOADING", True),
        (replica, "READONLY", True),
        (forbidden, "NOPERM", False),
    ],
)
async def test_every_caller_of_a_server_that_refuses_is_told_that_nothing_ran(
    talkative: Server, figures: Figures, state: State, word: str, retryable: bool
) -> None:
    talkative.register(CHANNEL)
    message = {"type": "run", "id": "0"}
    async with ServiceBus(talkative.url) as bus:
        async with state(talkative):
            calls = [bus.call(CHANNEL, message) for _ in range(CALLS // 2)]
            sends = [bus.send(CHANNEL, message) for _ in range(CALLS // 2)]
            outcomes = await asyncio.gather(*calls, *sends, return_exceptions=True)
        told = [(type(error), error.executed, error.retryable) for error in outcomes if isinstance(error, Unavailable)]
        assert told == [(Unavailable, "no", retryable)] * CALLS
        assert all(word in str(error) for error in outcomes)
        assert talkative.frames(CHANNEL) == []
        await recovered(bus)
    figures(23, f"{word}: {len(told)} of {CALLS} Unavailable, executed no, retryable {retryable}")


async def recovered(bus: ServiceBus) -> None:
    async with asyncio.timeout(LONG):
        while True:
            with suppress(Unavailable):
                await bus.send(CHANNEL, {"type": "run", "id": "0"})
                return
            await asyncio.sleep(10 * MS)


@pytest.mark.row(23)
async def test_a_client_beyond_the_servers_limit_gets_the_reason(own_server: Server, figures: Figures) -> None:
    own_server.run("CONFIG", "SET", "maxclients", "1")
    for _ in range(CALLS):
        with pytest.raises(Unavailable) as caught:
            await ServiceBus(own_server.url).open()
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
    figures(23, f"maxclients: {CALLS} of {CALLS} Unavailable, executed no, retryable True")


@pytest.mark.row(23)
async def test_workers_of_a_full_server_go_on_taking_what_is_there(
    own_server: Server, record: Record, figures: Figures
) -> None:
    async with ServiceBus(own_server.url) as bus:
        for number in range(CALLS):
            id = record.id(number)
            with record.recorder.calling(id, channel=CHANNEL, sequence=number + 1, reply=False):
                await bus.send(CHANNEL, {"type": "run", "id": id, "seconds": 0.0})
        async with full(own_server), asyncio.timeout(LONG):
            async with served(own_server.url, site(record), concurrency=7):
                await eventually(lambda: not own_server.frames(CHANNEL))
    started = sum(event.kind == "start" for event in record.events())
    figures(23, f"OOM: {started} of {CALLS} queued messages taken and run")
    assert started == CALLS
    assert record.problems() == []
