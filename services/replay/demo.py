"""``servicebus demo``: a server, three services and a client, started, used and ended."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from servicebus import ServiceBus, ServiceBusError
from servicebus.layers.redis.embedded import EmbeddedServer

from .audit import BooksDoNotBalance, audit
from .children import ChildFailed
from .client import Client
from .driver import Progress, Replay, no_progress, replay
from .fleet import CHANNELS, Fleet, unless_failed
from .options import Options, add_arguments, from_args
from .orders_file import OrdersFileError, read_orders
from .plan import Plan, make_plan
from .progress import shown
from .sample import sample_orders
from .summary import table

START_TIMEOUT = 60.0
"""Seconds for the workers to start: two are usual, and a busy machine may take many."""
SECONDS_FOR_ALL = 180.0
"""Seconds for a demo without any step: migrations, start and loading, each with its time on a busy machine."""
SECONDS_PER_STEP = 1.0
"""Seconds that each step adds: a hundred times what a step takes."""

__all__ = ["DemoFailed", "Options", "add_arguments", "main", "run"]


class DemoFailed(Exception):
    """The demo could not be completed. ``logs`` is the end of the workers' output."""

    def __init__(self, reason: str, logs: str = "") -> None:
        super().__init__(reason, logs)
        self.reason, self.logs = reason, logs

    def __str__(self) -> str:
        return self.reason


class Result(Struct, frozen=True):
    """The result of a demo. ``fault`` is why the books do not balance, "" if they do."""

    replay: Replay
    fault: str
    logs: str


async def run(options: Options, progress: Progress = no_progress) -> Result:
    """Run everything from start to end. No process and no file is left behind.

    Cancelling is safe, and takes as long as the workers take to end.

    Raises:
        OrdersFileError: the orders file cannot be used; nothing was started.
        DemoFailed: the demo could not be completed.
    """
    invoices = sample_orders() if options.orders is None else read_orders(options.orders)
    plan = make_plan(invoices, options.stock_ratio)
    with tempfile.TemporaryDirectory(prefix="servicebus-demo-", ignore_cleanup_errors=True) as directory:
        try:
            async with _server(options.url) as url, _fleet(Path(directory), url, options) as fleet:
                return await _bounded(fleet, plan, options.concurrency, progress)
        except (ServiceBusError, OSError) as error:
            raise DemoFailed(str(error)) from error


@asynccontextmanager
async def _server(url: str | None) -> AsyncIterator[str]:
    if url:
        yield url
        return
    async with EmbeddedServer() as server:
        yield server.url


@asynccontextmanager
async def _fleet(directory: Path, url: str, options: Options) -> AsyncIterator[Fleet]:
    fleet = Fleet(directory, url, options.workers, options.prefix or f"demo-{uuid.uuid4().hex[:8]}")
    try:
        yield fleet
    finally:
        await fleet.stop()


async def _bounded(fleet: Fleet, plan: Plan, concurrency: int, progress: Progress) -> Result:
    bound = SECONDS_FOR_ALL + SECONDS_PER_STEP * len(plan.steps)
    try:
        async with asyncio.timeout(bound):
            await _check_prefix(fleet)
            await fleet.migrate()
            await fleet.start()
            done = await unless_failed(fleet, _client(fleet, plan, concurrency, progress))
    except (ChildFailed, ServiceBusError) as error:
        raise DemoFailed(str(error), fleet.logs()) from error
    except TimeoutError as error:
        raise DemoFailed(f"gave up after {bound:.0f} seconds", fleet.logs()) from error
    return _audited(done, fleet)


async def _check_prefix(fleet: Fleet) -> None:
    """Refuse to serve where others serve: the databases of the demo are deleted, with whatever it took of others.

    Cancelling is safe.
    """
    async with ServiceBus(fleet.url, service="replay", prefix=fleet.prefix) as bus:
        served = [channel for channel in CHANNELS if await bus.workers(channel)]
    if served:
        raise DemoFailed(f"workers serve {served[0]} with the prefix {fleet.prefix!r} already: give another --prefix")


async def _client(fleet: Fleet, plan: Plan, concurrency: int, progress: Progress) -> Replay:
    async with ServiceBus(fleet.url, service="replay", prefix=fleet.prefix) as bus:
        await bus.wait_for_workers(*CHANNELS, timeout=START_TIMEOUT)
        return await replay(Client(bus), plan, concurrency, progress)


def _audited(done: Replay, fleet: Fleet) -> Result:
    try:
        audit(list(done.outcomes.values()), done.opening, done.closing)
    except BooksDoNotBalance as fault:
        return Result(done, str(fault), fleet.logs())
    return Result(done, "", "")


def main(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Returns:
        0 for success, 1 for a failure, 2 for an orders file that cannot be used, 128 + n after signal n.
    """
    options = from_args(args)
    try:
        with shown() as progress:
            result = asyncio.run(_until_signal(run(options, progress)))
    except OrdersFileError as error:
        return _failed(2, str(error))
    except DemoFailed as error:
        return _failed(1, str(error), error.logs)
    if isinstance(result, signal.Signals):
        return _failed(128 + result, f"ended by {result.name}")
    summary = result.replay.summary
    print(summary.json() if options.json else table(summary), flush=True)
    return _failed(1, result.fault, result.logs) if result.fault else 0


async def _until_signal(work: Coroutine[Any, Any, Result]) -> Result | signal.Signals:
    """Return the result of ``work``, or the first signal that asked the demo to end.

    The signal cancels ``work``, which cleans up before this function returns.
    """
    task, received = asyncio.create_task(work), list[signal.Signals]()

    def end(number: signal.Signals) -> None:
        received.append(number)
        if len(received) == 1:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    await asyncio.wait({task})
    return received[0] if task.cancelled() and received else task.result()


def _failed(status: int, reason: str, logs: str = "") -> int:
    print(*filter(None, [logs, f"servicebus demo: {reason}"]), sep="\n", file=sys.stderr)
    return status
