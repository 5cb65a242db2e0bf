"""Where the real days of orders are, files made of lines, and the real services in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from servicebus import ServiceBus
from services.replay.orders_file import Invoice
from tests.system.services.conftest import sqlite, sqlite_url

from .order_faults import Faults

__all__ = ["sqlite", "sqlite_url"]

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
DAYS = ("2010-12-01", "2010-12-02", "2010-12-03", "2010-12-05", "2010-12-06")

WriteOrders = Callable[..., Path]


@pytest.fixture(params=DAYS)
def real_day(request: pytest.FixtureRequest) -> Path:
    """The file of each real day of orders, one after the other."""
    return retail_day(request.param)


@pytest.fixture
def one_real_day() -> Path:
    """The file of one real day of orders."""
    return retail_day(DAYS[1])


def retail_day(day: str) -> Path:
    """Return the file of a real day; skip the test if there is none."""
    directory = os.environ.get("RETAIL_DATA")
    if not directory:
        pytest.skip("RETAIL_DATA is not set: it names the directory with the UCI Online Retail days")
    path = Path(directory, f"{day}.csv")
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    return path


@pytest.fixture
def write_orders(tmp_path: Path) -> WriteOrders:
    """Writes an orders file of a header and ``invoice,sku,quantity,price`` lines."""

    def write(*lines: str) -> Path:
        path = tmp_path / "orders.csv"
        rows = [full_row(*line.split(",")) for line in lines]
        path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def write_invoices(path: Path, invoices: Iterable[Invoice]) -> Path:
    """Write an orders file of these invoices."""
    rows = [
        full_row(invoice.number, line.sku, str(line.quantity), str(line.unit_price))
        for invoice in invoices
        for line in invoice.lines
    ]
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def faults() -> Faults:
    """The faults on the calls of the client's bus."""
    return Faults()


@pytest.fixture
async def bus(sqlite: None, faults: Faults) -> AsyncIterator[ServiceBus]:
    """A client's bus, with ``faults`` on its calls; a second one serves inventory, pricing and orders."""
    from services.inventory.handlers import service as inventory
    from services.orders.handlers import service as orders
    from services.pricing.handlers import service as pricing

    async with (
        ServiceBus("memory://", service="shop") as shop,
        shop.serving(inventory),
        shop.serving(pricing),
        shop.serving(orders),
        ServiceBus("memory://", service="replay", middleware=[faults]) as bus,
    ):
        yield bus


def full_row(invoice: str, sku: str, quantity: str, price: str) -> str:
    """Return a row of the file with all its columns."""
    return f"{invoice},{sku},A THING,{quantity},2010-12-01 08:26:00,{price},17850.0,United Kingdom"
