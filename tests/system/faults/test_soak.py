"""Millions of calls while links break, workers die and servers forget: nothing grows."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from servicebus import ServiceBus, ServiceBusError
from servicebus.testing.servers import Server

from ...support.faults.fleet import Fleet, fleet
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import sized
from ...support.faults.worker_site import CHANNEL
from ...support.processes import Worker
from ...support.timing import MS, eventually

AT_ONCE = 500
MILLION = 1_000_000
MEBIBYTE = 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")


class Size(NamedTuple):
    """Of the caller's process and of a worker's: what must not grow."""

    memory: int
    worker_memory: int
    files: int
    worker_files: int
    tasks: int
    keys: int


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def size(server: Server, worker: Worker) -> Size:
    ours, theirs = os.getpid(), worker.process.pid
    return Size(
        memory(ours), memory(theirs), files(ours), files(theirs), len(asyncio.all_tasks()), len(server.all_keys())
    )


async def calls(bus: ServiceBus, count: int) -> Counter[str]:
    """What became of them. Each gets the reply to its own number, or an error."""
    outcomes, numbers = Counter[str](), iter(range(count))

    async def one_by_one() -> None:
        for number in numbers:
            try:
                message = {"type": "echo", "n": number}
                assert await bus.call(CHANNEL, message, timeout=2.0) == number
                outcomes["ok"] += 1
            except ServiceBusError as error:
                outcomes[f"{type(error).__name__}, {error.executed}"] += 1
                await asyncio.sleep(5 * MS)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_by_one())
    return outcomes


@asynccontextmanager
async def faults(server: Server, directory: Path) -> AsyncIterator[None]:
    """One after the other, for the duration of a block: also workers that are killed."""
    doomed = Fleet(directory, server.url)
    raging = asyncio.create_task(rage(server, doomed))
    try:
        yield
    finally:
        raging.cancel()
        with suppress(asyncio.CancelledError):
            await raging
        doomed.end()


async def rage(server: Server, doomed: Fleet) -> None:
    while True:
        doomed.start()
        for _ in range(5):
            await asyncio.sleep(500 * MS)
            server.run("CLIENT", "KILL", "ID", random.choice(list(server.clients()) or [0]))
        server.run("SCRIPT", "FLUSH")
        with server.standing_still():
            await asyncio.sleep(100 * MS)
        doomed.kill()


@pytest.mark.row(25)
@pytest.mark.soak
async def test_after_millions_of_calls_with_faults_nothing_has_grown(
    own_server: Server, tmp_path: Path, figures: Figures
) -> None:
    count, doomed = sized(100_000, 10 * MILLION), tmp_path / "doomed"
    doomed.mkdir()
    with fleet(tmp_path, own_server.url, Record(tmp_path / "history", "25")) as workers:
        workers.start()
        await workers.serving(1)
        async with ServiceBus(own_server.url) as bus:
            await calls(bus, max(50_000, count // 20))
            before = size(own_server, workers.workers[0])
            async with faults(own_server, doomed):
                outcomes = await calls(bus, count)
            await eventually(lambda: len(own_server.all_keys()) <= before.keys, within=70.0)
            await calls(bus, 1000)
            after = size(own_server, workers.workers[0])
    grown = [(new - old) / MEBIBYTE for old, new in zip(before[:2], after[:2], strict=True)]
    said = ", ".join(f"{times:,} {what}" for what, times in outcomes.most_common())
    figures(25, f"{count:,} calls: caller {grown[0]:+.2f} MiB, worker {grown[1]:+.2f} MiB, {after[2:]}; {said}")
    assert max(grown) < max(1.0, count / MILLION)
    assert all(new <= old for old, new in zip(before[2:], after[2:], strict=True)), (before, after)
