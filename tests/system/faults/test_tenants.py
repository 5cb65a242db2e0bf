"""Callers of one service, of whom one makes a hundred times as many calls as each of the others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.fleet import fleet
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import lasting
from ...support.faults.worker_site import CHANNEL
from ...support.processes import ROOT, environment
from ...support.timing import MS

RATE = 20.0
TENANTS = 5
ROUNDS = 5


@contextmanager
def noise(url: str) -> Iterator[None]:
    """Somebody with a hundred times the calls of a tenant, for the duration of a block."""
    command = [sys.executable, "-m", "tests.support.faults.noisy", url, str(100 * RATE)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment())
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


async def p99(buses: list[ServiceBus], seconds: float) -> float:
    """Of the calls of all tenants, each at its own rate."""
    took = list[float]()

    async def tenant(bus: ServiceBus) -> None:
        for number in range(int(seconds * RATE)):
            begin = time.monotonic()
            await bus.call(CHANNEL, {"type": "run", "id": f"quiet-{number}", "seconds": 0.005}, timeout=5.0)
            took.append(time.monotonic() - begin)
            await asyncio.sleep(max(0.0, 1 / RATE - took[-1]))

    await asyncio.gather(*map(tenant, buses))
    return quantiles(took, n=100)[-1]


@pytest.mark.row(17)
@pytest.mark.soak
async def test_one_caller_with_a_hundred_times_the_calls_hardly_slows_the_others(
    own_server: Server, tmp_path: Path, figures: Figures
) -> None:
    """As long as there are enough workers for all: of a queue that stands, everybody has to wait for the whole."""
    seconds, quiet, loud = lasting(2.0, 10.0), list[float](), list[float]()
    buses = [ServiceBus(own_server.url, service=f"tenant-{number}") for number in range(TENANTS)]
    with fleet(tmp_path, own_server.url, Record(tmp_path / "history", "17")) as workers:
        workers.start(2)
        await workers.serving(2)
        for bus in buses:
            await bus.open()
        for _ in range(ROUNDS):
            quiet.append(await p99(buses, seconds))
            with noise(own_server.url):
                await asyncio.sleep(1000 * MS)
                loud.append(await p99(buses, seconds))
        for bus in buses:
            await bus.close()
    ratio = median(loud) / median(quiet)
    figures(17, f"p99 {median(quiet) * 1000:.1f} ms alone, {median(loud) * 1000:.1f} ms beside the noise: {ratio:.2f}x")
    assert ratio <= 2.0
