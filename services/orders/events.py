"""Publishes what became of an order, after the order was written down. An event that is lost is not sent again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from servicebus import ServiceBusError

from .contract import CONFIRMED, PLACED, REJECTED, OrderEvent
from .models import Order
from .states import Status

if TYPE_CHECKING:
    from servicebus import Bus

logger = logging.getLogger("services.orders")

EVENTS: Mapping[Status, str] = {"placed": PLACED, "confirmed": CONFIRMED, "rejected": REJECTED}
"""The event that each status publishes; the other statuses publish none."""


async def announce(bus: Bus, order: Order) -> None:
    """Publish the event of the order's status, if the status has one. A failure is logged, and the order stands.

    Cancelling is safe: the event may then be lost.
    """
    channel = EVENTS.get(order.status)
    if channel is None:
        return
    event = OrderEvent(order_id=order.order_id, status=order.status, reason=order.reason, total=order.total)
    try:
        await bus.publish(channel, event)
    except ServiceBusError as error:
        logger.warning("order %s: %s was not published: %s", order.order_id, channel, error)
