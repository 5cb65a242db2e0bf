"""Processes that stand still for seconds, as in a paused virtual machine, and go on: SIGSTOP, then SIGCONT."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from servicebus import ServiceBus
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server
from servicebus.testing.servers.process import STOPPED, state_of

from ...support.faults.fleet import fleet
from ...support.faults.record import Figures, Record
from ...support.faults.standing import NORMAL, program
from ...support.faults.worker_site import CHANNEL
from ...support.timing import LONG, MS, eventually


async def stop(process: subprocess.Popen[Any]) -> None:
    """Pause a process, and wait until it stands."""
    process.send_signal(signal.SIGSTOP)
    await eventually(lambda: state_of(process.pid) in STOPPED)


async def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a program prints."""
    assert process.stdout is not None
    return (await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), LONG)).strip()


@pytest.mark.row(41)
@pytest.mark.parametrize(("seconds", "count"), [(0.7, 60), (2.5, 60), (6.0, 60), (2.5, 10_000)])
async def test_a_worker_that_stood_still_loses_no_message_that_was_accepted(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures, seconds: float, count: int
) -> None:
    async def send(bus: ServiceBus, number: int) -> None:
        with record.recorder.calling(record.id(number), channel=CHANNEL, reply=False):
            await bus.send(CHANNEL, {"type": "run", "id": record.id(number)})

    with fleet(tmp_path, own_server.url, record, "--concurrency", "100") as workers:
        async with ServiceBus(own_server.url) as bus:
            workers.start()
            await workers.serving(1)
            await asyncio.sleep(100 * MS)
            await stop(workers.workers[0].process)
            await asyncio.gather(*(send(bus, number) for number in range(count)))
            await asyncio.sleep(seconds)
            workers.workers[0].signal(signal.SIGCONT)
            await eventually(lambda: record.count("end") == count, within=LONG)
    assert record.problems() == []
    starts = Counter(event.id for event in record.events() if event.kind == "start")
    assert len(starts) == starts.total() == count
    figures(41, f"a worker stood still for {seconds} s, {count:,} messages accepted meanwhile: all ran once")


@pytest.mark.row(41)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_caller_that_stood_still_takes_the_reply_in_its_socket(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures, loop: str
) -> None:
    """It is stopped while the handler runs, and goes on long after the deadline."""
    takes, timeout, still = 0.7, 1.5, 3.0
    with fleet(tmp_path, own_server.url, record) as workers:
        workers.start()
        await workers.serving(1)
        arguments = (own_server.url, record.id(0), str(takes), str(timeout))
        # The other program keeps no history: here its call is known to end when its reply was taken.
        invoked = record.recorder.calling(record.id(0), channel=CHANNEL)
        with program("call", loop, *arguments) as caller, invoked:
            await eventually(lambda: record.count("start") == 1)
            await stop(caller)
            stopped_in_time = record.count("end") == 0
            await asyncio.sleep(still)
            caller.send_signal(signal.SIGCONT)
            assert await line_of(caller) == record.id(0) or not stopped_in_time
    figures(41, f"a caller on {loop} stood still for {still} s: it took the reply that lay in its socket")


@pytest.mark.row(41)
@pytest.mark.parametrize("seconds", [2.5, 6.0])
async def test_a_channels_process_that_stood_still_loses_no_message(
    own_server: Server, figures: Figures, seconds: float
) -> None:
    count = 60
    layer = RedisChannelLayer(hosts=[own_server.url])
    with program("receive", "asyncio", own_server.url, str(count)) as receiver:
        local = await line_of(receiver)
        await asyncio.sleep(100 * MS)
        await stop(receiver)
        for n in range(count):
            await asyncio.gather(*(layer.send(channel, {"type": "x", "n": n}) for channel in (local, NORMAL)))
        await asyncio.sleep(seconds)
        receiver.send_signal(signal.SIGCONT)
        for channel in (local, NORMAL):
            assert await line_of(receiver) == " ".join(map(str, range(count))), channel
    await layer.close()
    figures(41, f"a Channels process stood still for {seconds} s: 2 x {count} messages received, in order")
