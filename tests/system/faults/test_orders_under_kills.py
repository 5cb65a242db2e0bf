"""A day of orders while the workers of all three services and the server are killed: the books balance afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server
from services.orders import contract as orders
from services.replay.audit import audit
from services.replay.client import Client
from services.replay.driver import replay
from services.replay.fleet import CHANNELS, SERVICES, Fleet
from services.replay.opening import read_books
from services.replay.orders_file import Invoice
from services.replay.plan import Sale, make_plan
from services.replay.sample import sample_orders

from ...support.faults.record import Figures
from ...support.faults.sizes import sized

ORDERS = 0
"""It is no row of the plan, and stands before the first."""
AT_ONCE = 16
EACH_WITHIN = 2.0
"""Seconds for an order, on average: ten times what one takes, so that the run ends, also on a busy machine."""
KILLS_AT_LEAST = 6
RETRIED_FOR = 600.0
"""Seconds for all attempts of one call: an order that is given up leaves the books open, and the run has a bound."""


@pytest.mark.row(ORDERS)
async def test_a_day_of_orders_balances_while_workers_and_servers_are_killed(
    own_server: Server, tmp_path: Path, figures: Figures
) -> None:
    plan = make_plan(invoices(sized(10, 100)))
    async with deployed(tmp_path, own_server.url) as fleet, ServiceBus(own_server.url, service="replay") as bus:
        killer = Killer(fleet, own_server)
        client = Client(bus, patience=RETRIED_FOR, timeout=2.0)
        await bus.wait_for_workers(*CHANNELS, timeout=30.0)
        async with asyncio.timeout(EACH_WITHIN * len(plan.steps)), killer:
            done = await replay(client, plan, AT_ONCE, killer.begin)
        left = await reconciled(client)
        closing = await read_books(client)
    audit(list(done.outcomes.values()), done.opening, closing)
    confirmed = [number for number, each in done.outcomes.items() if each.is_sale and each.is_done]
    assert confirmed == [step.order_id for step in plan.steps if isinstance(step, Sale)]
    assert killer.workers + killer.servers >= KILLS_AT_LEAST
    figures(
        ORDERS, f"{len(plan.steps)} orders, {killer}, {done.retries} retries: the books balance, {left} left half-way"
    )


def invoices(days: int) -> tuple[Invoice, ...]:
    """The generated day, again and again, under other numbers."""
    return tuple(
        msgspec.structs.replace(invoice, number=invoice.number.replace("9000", f"9{day:03}", 1))
        for day in range(days)
        for invoice in sample_orders()
    )


@asynccontextmanager
async def deployed(directory: Path, url: str) -> AsyncIterator[Fleet]:
    fleet = Fleet(directory, url)
    try:
        await fleet.migrate()
        await fleet.start()
        yield fleet
    finally:
        await fleet.stop()


async def reconciled(client: Client) -> int:
    """Finish or undo what was left half-way; how much remains."""
    async with asyncio.timeout(30):
        while left := (await client.call(orders.CHANNEL, orders.Reconcile(older_than=0.0))).left:
            await asyncio.sleep(0.1)
    return left


class Killer:
    """Once it was told to begin, it kills the server or a worker every other moment, and soon starts it again."""

    def __init__(self, fleet: Fleet, server: Server) -> None:
        self._fleet, self._server = fleet, server
        self._begun, self._finished = asyncio.Event(), False
        self.workers = self.servers = 0

    async def __aenter__(self) -> None:
        self._killing = asyncio.create_task(self._kill_on())

    async def __aexit__(self, *error: object) -> None:
        """What was killed last is there again."""
        self._finished = True
        self._begun.set()
        await self._killing

    def begin(self, *progress: int) -> None:
        self._begun.set()

    async def _kill_on(self) -> None:
        await self._begun.wait()
        while not self._finished:
            await (self._kill_worker() if self.workers <= 2 * self.servers else self._kill_server())
            await asyncio.sleep(random.uniform(0.2, 1.0))

    async def _kill_worker(self) -> None:
        name = random.choice(SERVICES)
        worker = self._fleet.workers[name]
        worker.kill()
        await worker.wait()
        await self._fleet.start(name)
        self.workers += 1

    async def _kill_server(self) -> None:
        self._server.kill()
        await asyncio.sleep(random.uniform(0.0, 0.5))
        await self._server.restart()
        self.servers += 1

    def __str__(self) -> str:
        return f"{self.workers} workers and {self.servers} times the server killed"
