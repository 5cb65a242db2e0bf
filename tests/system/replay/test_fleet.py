"""A replay on the services as they are deployed: a real server, and processes that can be killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from servicebus import ServiceBus
from servicebus.layers.redis.embedded import EmbeddedServer
from services.inventory import contract as inventory
from services.orders import contract as orders
from services.replay.audit import audit
from services.replay.children import ChildFailed
from services.replay.client import Client
from services.replay.demo import Options, run
from services.replay.driver import Replay, replay
from services.replay.fleet import CHANNELS, ROOT, Fleet, unless_failed
from services.replay.orders_file import read_orders
from services.replay.plan import Sale, make_plan
from services.replay.sample import sample_orders

from ...support.replay.simulation import simulate


@asynccontextmanager
async def deployed(directory: Path, processes: int = 1) -> AsyncIterator[tuple[Fleet, ServiceBus]]:
    async with EmbeddedServer() as server:
        fleet = Fleet(directory, server.url, processes)
        try:
            await fleet.migrate()
            await fleet.start()
            async with ServiceBus(server.url, service="replay", presence_ttl=1.0) as bus:
                await unless_failed(fleet, bus.wait_for_workers(*CHANNELS, timeout=20.0))
                yield fleet, bus
        finally:
            await fleet.stop()


def by_reason(done: Replay, reason: str) -> list[str]:
    return [number for number, each in done.outcomes.items() if each.is_sale and each.reason == reason]


async def stock(bus: ServiceBus) -> Counter[str]:
    found: Counter[str] = Counter()
    after: str | None = ""
    while after is not None:
        page = await bus.call(inventory.CHANNEL, inventory.GetStock(after=after, limit=500))
        assert all(line.on_hand >= 0 and line.reserved == 0 for line in page.lines)
        found.update({line.sku: line.on_hand for line in page.lines})
        after = page.next_after or None
    return found


async def test_with_half_the_stock_the_rejected_orders_are_the_simulated_ones(real_day: Path) -> None:
    day = simulate(real_day, "0.5")
    result = await run(Options(orders=real_day, stock_ratio=Decimal("0.5"), concurrency=1))
    done, summary = result.replay, result.replay.summary
    assert by_reason(done, "out_of_stock") == day.out_of_stock
    assert by_reason(done, "") == day.confirmed
    assert summary.rejected == {"out_of_stock": len(day.out_of_stock)}
    assert (summary.charged, summary.refunded) == (day.charged, day.refunded)
    assert (summary.stock_opening, summary.stock_closing) == (day.opening.total(), day.shelf.total())
    assert result.fault == ""


async def test_with_half_the_stock_and_many_at_once_every_unit_is_accounted_for(
    tmp_path: Path, one_real_day: Path
) -> None:
    plan = make_plan(read_orders(one_real_day), Decimal("0.5"))
    async with deployed(tmp_path, processes=2) as (_, bus):
        done = await replay(Client(bus), plan, 64)
        shelf = await stock(bus)
    audit(list(done.outcomes.values()), done.opening, done.closing)
    assert set(done.summary.rejected) == {"out_of_stock"}
    for each in done.outcomes.values():
        for line in each.step.lines if each.is_done else ():
            shelf[line.sku] += line.quantity if each.is_sale else -line.quantity
    assert +shelf == +Counter(plan.opening_stock)


async def test_an_orders_worker_that_is_killed_leaves_no_order_half_way(tmp_path: Path) -> None:
    plan = make_plan(sample_orders())
    busy = asyncio.Event()

    def watch(step: int, total: int, confirmed: int, rejected: int) -> None:
        if step > total // 3:
            busy.set()

    async with deployed(tmp_path) as (fleet, bus), asyncio.timeout(30), asyncio.TaskGroup() as group:
        replayed = group.create_task(replay(Client(bus, timeout=2.0), plan, 8, watch))
        await busy.wait()
        fleet.workers["orders"].kill()
        assert await fleet.workers["orders"].wait() == -9
        await fleet.start("orders")
        done = await replayed
        left = await bus.call(orders.CHANNEL, orders.Reconcile(older_than=0.0))
    audit(list(done.outcomes.values()), done.opening, done.closing)
    assert left.left == 0
    assert done.retries > 0
    assert by_reason(done, "") == [step.order_id for step in plan.steps if isinstance(step, Sale)]


def test_the_replay_needs_no_django() -> None:
    found = "[name for name in sys.modules if name.partition('.')[0] == 'django']"
    code = f"import sys, services.replay.demo; sys.exit(len({found}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


async def test_a_worker_that_ends_ends_the_work(tmp_path: Path) -> None:
    async with deployed(tmp_path) as (fleet, _):
        fleet.workers["pricing"].kill()
        with pytest.raises(ChildFailed, match=r"^pricing worker ended with exit status -9: .*serving pricing\.request"):
            await unless_failed(fleet, asyncio.sleep(60))
        assert "--- orders\n" in fleet.logs()
