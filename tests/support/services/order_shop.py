"""The three services on one bus in this process, an observer of their events, and faults at chosen moments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

from servicebus import Service, ServiceBus
from servicebus.api.middleware import CallNext, Invocation
from services.inventory import contract as inventory
from services.inventory.handlers import service as inventory_service
from services.orders import contract as orders
from services.orders.handlers import service as orders_service
from services.orders.models import Order as OrderRow
from services.orders.models import Return as ReturnRow
from services.orders.states import HALF_WAY
from services.orders.store import in_thread
from services.pricing import contract as pricing
from services.pricing.handlers import service as pricing_service

Fault = Callable[[Invocation, CallNext], Awaitable[object]]

OPENING = {"A": 10, "B": 10}
PRICES = {"A": Decimal("2.00"), "B": Decimal("3.55"), "GOLD": Decimal("999999.00")}


class Crash(Exception):
    """Stands for the death of the process: nothing after it in the handler runs."""


class Faults:
    """Bus middleware: the next messages of a type meet a fault."""

    def __init__(self) -> None:
        self._armed: dict[type, list[Fault]] = {}
        self.seen: list[type] = []

    def next(self, kind: type, fault: Fault, times: int = 1) -> None:
        """Let the next ``times`` messages of this type meet ``fault``."""
        self._armed.setdefault(kind, []).extend([fault] * times)

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> object:
        self.seen.append(type(invocation.message))
        armed = self._armed.get(type(invocation.message))
        return await (armed.pop(0)(invocation, call_next) if armed else call_next(invocation))


def failing(error: Exception, after: bool = False) -> Fault:
    """Return a fault that raises ``error`` instead of the call, or after it."""

    async def fault(invocation: Invocation, call_next: CallNext) -> object:
        if after:
            await call_next(invocation)
        raise error

    return fault


def doing(first: Callable[[], Awaitable[object]]) -> Fault:
    """Return a fault that does something else just before the call."""

    async def fault(invocation: Invocation, call_next: CallNext) -> object:
        await first()
        return await call_next(invocation)

    return fault


class Shop:
    """The three services on one bus, as a caller uses them."""

    def __init__(self, bus: ServiceBus, faults: Faults) -> None:
        self.bus, self.faults = bus, faults
        self.events: list[tuple[str, str]] = []
        self.returned: dict[str, int] = {}

    async def place(self, order_id: str = "o-1", /, timeout: float = 5.0, **units: int) -> orders.Order:
        """Place an order."""
        lines = [orders.Line(sku, quantity) for sku, quantity in (units or {"A": 2, "B": 1}).items()]
        return await self.bus.call(orders.CHANNEL, orders.Place(order_id=order_id, lines=lines), timeout=timeout)

    async def get(self, order_id: str = "o-1") -> orders.Order:
        """Read an order."""
        return await self.bus.call(orders.CHANNEL, orders.GetOrder(order_id=order_id))

    async def cancel(self, order_id: str = "o-1") -> orders.Order:
        """Cancel an order."""
        return await self.bus.call(orders.CHANNEL, orders.Cancel(order_id=order_id))

    async def record_return(self, return_id: str = "c-1", /, **units: int) -> orders.Return:
        """Record a return of goods."""
        lines = [orders.Line(sku, quantity) for sku, quantity in units.items()]
        self.returned = dict(units)
        return await self.bus.call(orders.CHANNEL, orders.RecordReturn(return_id=return_id, lines=lines))

    async def reconcile(self, older_than: float = 0.0) -> tuple[int, int, int]:
        """Run one round, and return how many orders were finished, undone and left."""
        found = await self.bus.call(orders.CHANNEL, orders.Reconcile(older_than=older_than))
        return found.finished, found.undone, found.left

    async def stock(self) -> dict[str, tuple[int, int]]:
        """Return units on hand and units reserved, by SKU."""
        page = await self.bus.call(inventory.CHANNEL, inventory.GetStock())
        return {line.sku: (line.on_hand, line.reserved) for line in page.lines}

    async def books(self) -> pricing.Books:
        """Return the sums of all money that moved."""
        return await self.bus.call(pricing.CHANNEL, pricing.GetLedger())

    async def audit(self) -> None:
        """Check that no order is half-way, and that goods and money match the confirmed orders and returns."""
        rows = await in_thread(lambda: list(OrderRow.objects.all()))
        returns = await in_thread(lambda: list(ReturnRow.objects.all()))
        assert not [row.pk for row in (*rows, *returns) if row.status in HALF_WAY]
        confirmed = [row for row in rows if row.status == "confirmed"]
        sold = {sku: sum(n for row in confirmed for name, n in row.lines if name == sku) for sku in OPENING}
        assert {sku: level for sku, level in (await self.stock()).items() if sku in OPENING} == {
            sku: (units - sold[sku] + self.returned.get(sku, 0), 0) for sku, units in OPENING.items()
        }
        books = await self.books()
        assert books.charged - books.refunded == sum(row.total for row in confirmed)
        assert books.credited == sum(row.credited for row in returns)


def observer(events: list[tuple[str, str]]) -> Service:
    """Return a service that records the events of orders."""
    service = Service("observer")

    def listen(event: str) -> None:
        async def heard(body: orders.OrderEvent) -> None:
            events.append((event, body.order_id))

        heard.__annotations__["body"] = orders.OrderEvent
        service.on(event)(heard)

    for event in (orders.PLACED, orders.CONFIRMED, orders.REJECTED):
        listen(event)
    return service


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    """Yield a shop with goods and prices."""
    faults = Faults()
    async with ServiceBus("memory://", service="shop", middleware=[faults]) as bus:
        shop = Shop(bus, faults)
        async with (
            bus.serving(inventory_service),
            bus.serving(pricing_service),
            bus.serving(orders_service),
            bus.serving(observer(shop.events)),
        ):
            await _stocked(bus)
            yield shop


async def _stocked(bus: ServiceBus) -> None:
    goods = [inventory.Line(sku, units) for sku, units in OPENING.items()]
    prices = [pricing.Price(sku, price) for sku, price in PRICES.items()]
    await bus.call(inventory.CHANNEL, inventory.Receive(receipt_id="opening", lines=goods))
    await bus.call(pricing.CHANNEL, pricing.SetPrices(prices=prices))
