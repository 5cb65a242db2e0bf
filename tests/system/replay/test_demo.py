"""``servicebus demo`` from the outside: its exit status, its output, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from servicebus import Service, ServiceBus
from servicebus.layers.redis.embedded import EmbeddedServer
from services.inventory import contract as inventory

from ...support.replay.demo_processes import (
    Demo,
    demo,
    eventually,
    summary_of,
)
from ...support.replay.orders import HEADER, WriteOrders, full_row
from ...support.replay.samples import SUMMARY_FIELDS
from ...support.replay.simulation import simulate
from ...support.timing import LONG, MS

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


def long_day(directory: Path, invoices: int = 2_000) -> str:
    """Enough for a demo to be busy with for seconds after its first line of progress."""
    path = directory / "long.csv"
    rows = [full_row(str(number), f"SKU{number % 50}", "2", "1.50") for number in range(invoices)]
    path.write_text("\n".join([HEADER, *rows]))
    return str(path)


def test_the_sample_is_replayed_and_summarised() -> None:
    summary = summary_of()
    assert " ".join(summary) == SUMMARY_FIELDS
    assert summary["invoices"] == 60
    assert summary["confirmed"] == summary["sales"] - summary["skipped"]
    assert summary["rejected"] == {}
    assert summary["calls"] >= 59


def test_people_get_a_table_and_progress_on_standard_error() -> None:
    status, output, errors = demo()
    assert (status, output.splitlines()[0]) == (0, "invoices       60  (54 sales, 6 returns)")
    assert len(errors.splitlines()) == 10
    assert errors.splitlines()[-1] == "59/59 invoices, 53 confirmed, 0 rejected"


def test_a_real_day_agrees_with_the_simulation_to_the_penny_and_the_unit(real_day: Path) -> None:
    day, found = simulate(real_day), summary_of("--orders", str(real_day))
    assert (day.out_of_stock, found["rejected"]) == ([], {})
    assert (found["sales"], found["returns"]) == (day.sales, day.returns)
    assert (found["confirmed"], found["skipped"]) == (len(day.confirmed), len(day.skipped))
    assert found["invalid_lines"] == day.invalid
    assert (Decimal(found["charged"]), Decimal(found["refunded"])) == (day.charged, day.refunded)
    assert (found["stock_opening"], found["stock_closing"]) == (day.opening.total(), day.shelf.total())


def test_a_day_without_orders_is_a_summary_of_zeros(write_orders: WriteOrders) -> None:
    summary = summary_of("--orders", str(write_orders()))
    assert (summary["invoices"], summary["charged"], summary["stock_opening"]) == (0, "0.00", 0)


def test_an_order_of_any_size_is_confirmed(write_orders: WriteOrders) -> None:
    path = write_orders("1,A,10000000,1000000", "1,A,10000000,1000000", "1,B,1,0.0049", "C2,A,-10000000,1")
    summary = summary_of("--orders", str(path), "--stock-ratio", "1.0")
    assert (summary["confirmed"], summary["charged"]) == (1, "20000000000000.00")
    assert (summary["refunded"], summary["stock_closing"]) == ("10000000000000.00", 10_000_000)


async def test_a_server_that_is_there_is_used() -> None:
    async with EmbeddedServer() as server:
        assert summary_of("--url", server.url, "--workers", "2", "--concurrency", "16")["confirmed"] == 53


async def test_a_demo_takes_no_call_of_a_shop_on_the_same_server() -> None:
    """The databases of the demo are deleted at its end: what it took of others would be gone."""
    taken, shop = list[Any](), Service("inventory")

    @shop.handler("stock")
    async def stock(message: dict[str, Any]) -> int:
        taken.append(message["n"])
        return 1

    async with EmbeddedServer() as server, ServiceBus(server.url) as worker, ServiceBus(server.url) as bus:
        async with worker.serving(shop):
            running = asyncio.create_task(asyncio.to_thread(summary_of, "--url", server.url))
            sent = 0
            while not running.done():
                assert await bus.call(inventory.CHANNEL, {"type": "stock", "n": sent}, timeout=LONG) == 1
                sent += 1
                assert await bus.workers(inventory.CHANNEL) == 1
                await asyncio.sleep(10 * MS)
            assert (await running)["confirmed"] == 53
    assert taken == list(range(sent))


@pytest.mark.parametrize("name", ["inventory", "pricing", "orders"])
async def test_a_demo_refuses_a_prefix_with_which_others_serve(name: str) -> None:
    live = Service(name)

    @live.handler("stock")
    async def stock(message: dict[str, Any]) -> int:
        return 1

    async with EmbeddedServer() as server, ServiceBus(server.url, prefix="live") as worker:
        async with worker.serving(live):
            with Demo("--url", server.url, "--prefix", "live") as run:
                status, output, errors = await asyncio.to_thread(run.finish)
            assert await worker.workers(f"{name}.request") == 1
    assert (status, output) == (1, "")
    assert f"workers serve {name}.request with the prefix 'live' already: give another --prefix" in errors


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--orders", "nowhere.csv"], "servicebus demo: nowhere.csv: cannot be read: No such file or directory\n"),
        (["--orders", __file__], "the header has no InvoiceNo, StockCode,"),
        (["--concurrency", "0"], "argument --concurrency: '0' is not a whole number from 1 to 1000\n"),
        (["--stock-ratio", "much"], "argument --stock-ratio: 'much' is not a decimal number from 0 to 1000\n"),
    ],
)
def test_what_cannot_be_used_exits_2_before_anything_is_started(arguments: list[str], complaint: str) -> None:
    status, output, errors = demo(*arguments)
    assert (status, output) == (2, "")
    assert complaint in errors


def test_a_line_that_is_wrong_is_named(write_orders: WriteOrders) -> None:
    path = write_orders(*["1,A,1,1"] * 15, "1,A,six,1")
    errors = f"servicebus demo: {path}, line 17: Quantity 'six' is not a whole number\n"
    assert demo("--orders", str(path)) == (2, "", errors)


def test_a_service_that_does_not_start_is_named() -> None:
    status, output, errors = demo(ORDERS_STALE_AFTER="soon")
    assert (status, output) == (1, "")
    last = errors.splitlines()[-1]
    assert last.startswith("servicebus demo: orders migration ended with exit status 1: ")
    assert "ORDERS_STALE_AFTER: 'soon' is not a positive number of seconds" in last


def test_a_server_that_is_not_there_is_one_line() -> None:
    status, _, errors = demo("--url", "redis://127.0.0.1:1/0")
    assert status == 1
    assert errors.splitlines()[-1].startswith("servicebus demo: ")
    assert "Traceback" not in errors


async def test_books_that_do_not_balance_are_shown_and_exit_1(tmp_path: Path) -> None:
    gift = inventory.Receive(receipt_id="gift", lines=[inventory.Line("SKU1", 7)])
    async with EmbeddedServer() as server, ServiceBus(server.url, prefix="demo-test") as bus:
        arguments = ("--url", server.url, "--prefix", "demo-test")
        with Demo("--json", "--orders", long_day(tmp_path, 300), *arguments) as run:
            await asyncio.to_thread(run.read_progress)
            await bus.call(inventory.CHANNEL, gift)
            status, output, errors = await asyncio.to_thread(run.finish)
    assert (status, json.loads(output)["stock_closing"]) == (1, 7)
    fault = "the books do not balance: stock 600 - 600 sold + 0 returned is not 7"
    assert errors.splitlines()[-1] == f"servicebus demo: {fault}"


def test_a_worker_that_dies_ends_the_demo(tmp_path: Path) -> None:
    with Demo("--orders", long_day(tmp_path)) as run:
        run.read_progress()
        os.kill(run.worker("pricing"), signal.SIGKILL)
        status, output, errors = run.finish()
        assert (status, output, run.left_behind()) == (1, "", [])
    assert errors.splitlines()[-1].startswith("servicebus demo: pricing worker ended with exit status 137: ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with Demo("--json", "--orders", long_day(tmp_path)) as run:
        run.read_progress()
        assert len(run.processes()) > 4
        run.process.send_signal(number)
        run.process.send_signal(number)
        ended, output, errors = run.finish()
        assert (ended, output, run.left_behind()) == (status, "", [])
    assert errors.splitlines()[-1] == f"servicebus demo: ended by {number.name}"


def test_a_signal_while_it_starts_ends_everything(tmp_path: Path) -> None:
    with Demo("--orders", long_day(tmp_path)) as run:
        assert eventually(lambda: any("migrate" in command for command in run.processes()))
        run.process.terminate()
        status, _, _ = run.finish()
        assert (status, run.left_behind()) == (143, [])


def test_not_even_sigkill_leaves_a_process_behind(tmp_path: Path) -> None:
    with Demo("--orders", long_day(tmp_path)) as run:
        run.read_progress()
        run.process.kill()
        assert eventually(lambda: run.processes() == [])


def test_a_terminal_shows_a_bar_and_standard_output_stays_clean() -> None:
    primary, secondary = pty.openpty()
    shown: list[bytes] = []
    reader = Thread(target=_read_to_the_end, args=(primary, shown))
    reader.start()
    try:
        status, output, _ = demo("--json", stderr=secondary, TERM="xterm", COLUMNS="120")
    finally:
        os.close(secondary)
        reader.join()
        os.close(primary)
    assert (status, output[:15], output.count("\n")) == (0, '{"invoices":60,', 1)
    assert b"53 confirmed, 0 rejected" in b"".join(shown)
    assert b"100%" in b"".join(shown)


def _read_to_the_end(terminal: int, shown: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 65536):
            shown.append(part)
