"""``manage.py runworker`` in processes of its own, on a real server that is killed under it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer

from servicebus import ServiceBus, ServiceBusError, WorkerLost
from servicebus.testing.servers import Server

from ...support.processes import ROOT, environment
from ...support.timing import LONG, MS, eventually

OURS = "servicebus.layers.redis.RedisChannelLayer"
CHANNELS_REDIS = "channels_redis.core.RedisChannelLayer"
CHANNEL = "ledger.request"
RESTARTS = 10


class Site:
    """The processes of one site, and what its service wrote down."""

    def __init__(self, directory: Path, server: Server, backend: str = OURS) -> None:
        self._directory, self._server, self._backend = directory, server, backend
        self._ledger = directory / "ledger"
        self.logs: list[Path] = []

    @contextmanager
    def runworker(self, *channels: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process; ended at the end, whatever happens."""
        log = self._directory / f"{len(self.logs)}.log"
        self.logs.append(log)
        command = [sys.executable, "-m", "tests.support.runworker_site.manage", "runworker", *channels]
        told = {"SITE_REDIS": self._server.url, "SITE_BACKEND": self._backend, "SITE_LEDGER": str(self._ledger)}
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environment(**told), stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    def written(self, kind: str) -> list[str]:
        """What was written down under that word."""
        lines = self._ledger.read_text().splitlines() if self._ledger.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")]

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in self.logs)


@pytest.fixture
def site(tmp_path: Path, server: Server) -> Site:
    return Site(tmp_path, server)


def enter(n: int, seconds: float = 0.0) -> dict[str, Any]:
    return {"type": "enter", "n": n, "seconds": seconds}


async def test_runworker_serves_calls_and_events_of_a_bus_on_the_same_server(site: Site, server: Server) -> None:
    with site.runworker(CHANNEL, "ledger.events") as process:
        async with ServiceBus(server.url) as bus:
            await bus.wait_for_workers(CHANNEL, timeout=20.0)
            assert await bus.call(CHANNEL, enter(1)) == process.pid
            await bus.publish("ledger.entered", {"n": 7})
            await bus.call(CHANNEL, {"type": "announce", "n": 8})
            await eventually(lambda: site.written("heard") == ["7", "8"])
            await eventually(lambda: len(site.written("tick")) >= 2)


async def test_two_runworkers_share_the_work_and_each_message_runs_once(site: Site, server: Server) -> None:
    with site.runworker(CHANNEL) as one, site.runworker(CHANNEL) as other:
        async with ServiceBus(server.url, timeout=20.0) as bus:
            async with asyncio.timeout(LONG):
                while await bus.workers(CHANNEL) < 2:
                    await asyncio.sleep(20 * MS)
            pids = await bus.gather(*((CHANNEL, enter(n, seconds=0.001)) for n in range(400)))
    assert set(pids) == {one.pid, other.pid}
    assert sorted(map(int, site.written("enter"))) == list(range(400))


async def test_runworker_on_channels_redis_is_served_by_the_same_service(tmp_path: Path, server: Server) -> None:
    site = Site(tmp_path, server, CHANNELS_REDIS)
    channel_layers.set("theirs", RedisChannelLayer(hosts=[server.url]))
    with site.runworker(CHANNEL, "ledger.events") as process:
        async with ServiceBus("django://theirs", timeout=10.0) as bus:
            await bus.wait_for_workers(CHANNEL, timeout=20.0)
            for n in range(20):
                assert await bus.call(CHANNEL, enter(n)) == process.pid
            await bus.publish("ledger.entered", {"n": 7})
            await eventually(lambda: site.written("heard") == ["7"])
    await channel_layers.backends.pop("theirs").close_pools()
    assert sorted(map(int, site.written("enter"))) == list(range(20))


async def test_a_worker_that_is_interrupted_tells_its_callers_so(site: Site, server: Server) -> None:
    with site.runworker(CHANNEL) as process:
        async with ServiceBus(server.url, timeout=20.0) as bus:
            await bus.wait_for_workers(CHANNEL, timeout=20.0)
            calling = asyncio.create_task(bus.call(CHANNEL, enter(1, seconds=60.0)))
            await eventually(lambda: site.written("enter") == ["1"])
            process.send_signal(signal.SIGINT)
            with pytest.raises(WorkerLost):
                await calling
            assert await asyncio.to_thread(process.wait, LONG) == 0
            assert await bus.workers(CHANNEL) == 0
    assert "Traceback" not in site.log, site.log


class History:
    """What became of each call."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.refused: list[int] = []
        self.others: list[int] = []
        self.untyped: list[Exception] = []

    async def grows(self, served: int) -> None:
        """Wait until more than ``served`` calls have been served."""
        await eventually(lambda: len(self.values) > served, within=LONG)

    async def keep_calling(self, bus: ServiceBus, numbers: Iterator[int], stop: asyncio.Event) -> None:
        while not stop.is_set():
            n = next(numbers)
            try:
                await bus.call(CHANNEL, enter(n), timeout=1.0)
            except ServiceBusError as error:
                (self.refused if error.executed == "no" else self.others).append(n)
                await asyncio.sleep(5 * MS)
            except Exception as error:  # noqa: BLE001 - what the test is after
                self.untyped.append(error)
            else:
                self.values.append(n)


async def test_runworker_serves_on_after_ten_restarts_of_its_server(tmp_path: Path, own_server: Server) -> None:
    site, history, stop, numbers = Site(tmp_path, own_server), History(), asyncio.Event(), count()
    with site.runworker(CHANNEL, "ledger.events") as process:
        async with ServiceBus(own_server.url) as bus:
            await bus.wait_for_workers(CHANNEL, timeout=20.0)
            callers = [asyncio.create_task(history.keep_calling(bus, numbers, stop)) for _ in range(8)]
            for _ in range(RESTARTS):
                served = len(history.values)
                await history.grows(served + 100)
                await asyncio.to_thread(own_server.kill)
                await own_server.restart()
            served = len(history.values)
            await history.grows(served + 100)
            stop.set()
            await asyncio.gather(*callers)
            assert process.poll() is None, site.log
    ran = [int(n) for n in site.written("enter")]
    assert history.untyped == []
    assert len(ran) == len(set(ran)), "something ran twice"
    assert set(history.values) <= set(ran)
    assert not set(history.refused) & set(ran), "a call that was refused has run"
    assert set(ran) <= {*history.values, *history.others}
