"""A bus whose transport drops, delays, duplicates or refuses messages as a fault plan says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..bus import ServiceBus
from ..errors import ChannelFull, ServiceBusError, Unavailable
from ..layers.delivery import Delivery, Options
from ..layers.layer import Layer
from .fault_plan import FaultPlan
from .layer_wrapper import LayerWrapper


@dataclass(slots=True, eq=False)
class _Copy:
    """The second copy of a duplicated message. Its outcome is ignored: the first copy has the sender's."""

    channel: str
    frame: bytes
    options: Options
    place: int = 0

    def settle(self, error: ServiceBusError | None) -> None: ...


class FaultyLayer(LayerWrapper):
    """A layer that applies a fault plan to the messages it sends, and otherwise is the wrapped layer. See ``Layer``.

    A withdrawn message never arrives, not even a copy of it, so ``executed = "no"`` stays true under every plan.

    Args:
        layer: the layer that does the work.
        faults: the plan; its rules may change at any time.
    """

    def __init__(self, layer: Layer, faults: FaultPlan) -> None:
        super().__init__(layer)
        self._faults = faults
        # The timer of each delivery that is being delayed: it has not been given to the wrapped layer.
        self._delayed: dict[Delivery, asyncio.TimerHandle] = {}
        # The copy of each delivery that was duplicated.
        self._copies: dict[Delivery, Delivery] = {}

    def push(self, delivery: Delivery) -> None:
        rule = self._faults.next(delivery.channel)
        match rule.action:
            case "drop":
                delivery.settle(None)
            case "refuse":
                delivery.settle(ChannelFull(delivery.channel, 0))
            case "delay":
                loop = asyncio.get_running_loop()
                self._delayed[delivery] = loop.call_later(rule.seconds, self._push_delayed, delivery)
            case "duplicate":
                self._push_twice(delivery)
            case "pass":
                self._layer.push(delivery)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        late = [delivery for delivery in deliveries if self._stop_delaying(delivery)]
        rest = [delivery for delivery in deliveries if delivery not in late]
        copies = {delivery: self._copies[delivery] for delivery in rest if delivery in self._copies}
        taken = await self._layer.withdraw(*rest, *copies.values())
        return late + [delivery for delivery in rest if delivery in taken and copies.get(delivery, delivery) in taken]

    async def close(self) -> None:
        for delivery in list(self._delayed):
            self._stop_delaying(delivery)
            delivery.settle(Unavailable("the bus was closed before the message was sent"))
        await self._layer.close()

    def _push_delayed(self, delivery: Delivery) -> None:
        del self._delayed[delivery]
        self._layer.push(delivery)

    def _push_twice(self, delivery: Delivery) -> None:
        copy = self._copies[delivery] = _Copy(delivery.channel, delivery.frame, delivery.options)
        self._layer.push(delivery)
        self._layer.push(copy)

    def _stop_delaying(self, delivery: Delivery) -> bool:
        """Keep a delayed delivery from being sent. Returns whether it was delayed."""
        timer = self._delayed.pop(delivery, None)
        if timer is not None:
            timer.cancel()
        return timer is not None


class FaultyBus(ServiceBus):
    """A bus that drops, delays, duplicates or refuses the messages it sends, as ``faults`` says.

    The faults concern what this bus sends: use it as the caller's bus to break requests, as the service's bus to break
    replies.

    Args:
        url: as for ``ServiceBus``.
        faults: the plan. Without one the bus makes an empty plan, and nothing fails until the test adds a rule.
        options: as for ``ServiceBus``.

    Attributes:
        faults: the plan; add rules at any time.
    """

    def __init__(self, url: str | None = None, *, faults: FaultPlan | None = None, **options: Any) -> None:
        self.faults = faults or FaultPlan()
        super().__init__(url, wrap_layer=lambda layer: FaultyLayer(layer, self.faults), **options)
