"""A bus whose transport misbehaves when it is told to: what a service does then is what a test wants to see."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..bus import ServiceBus
from ..errors import ChannelFull, ServiceBusError, Unavailable
from ..layers.delivery import Delivery, Options
from ..layers.layer import Consumer, Layer, Sink
from ..protocol.credit import Budget
from .fault_plan import Mischief


@dataclass(slots=True, eq=False)
class _Copy:
    """The second of a message; nobody wants to know what becomes of it."""

    channel: str
    frame: bytes
    options: Options

    def settle(self, error: ServiceBusError | None) -> None: ...


class HarnessLayer:
    """A layer around another, with its delivery guarantee, but for what ``mischief`` orders for messages sent.

    A withdrawn message never arrives, in no copy: ``executed = "no"`` is no lie even here.
    """

    def __init__(self, layer: Layer, mischief: Mischief) -> None:
        self._layer, self._mischief = layer, mischief
        self.abilities = layer.abilities
        self._delayed: dict[Delivery, asyncio.TimerHandle] = {}
        self._copies: dict[Delivery, Delivery] = {}

    def push(self, delivery: Delivery) -> None:
        order = self._mischief.next(delivery.channel)
        match order.act:
            case "drop":
                delivery.settle(None)
            case "refuse":
                delivery.settle(ChannelFull(delivery.channel, 0))
            case "delay":
                loop = asyncio.get_running_loop()
                self._delayed[delivery] = loop.call_later(order.seconds, self._push_delayed, delivery)
            case "duplicate":
                self._push_twice(delivery)
            case "pass":
                self._layer.push(delivery)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        late = [delivery for delivery in deliveries if self._undelayed(delivery)]
        rest = [delivery for delivery in deliveries if delivery not in late]
        copies = {delivery: self._copies[delivery] for delivery in rest if delivery in self._copies}
        taken = await self._layer.withdraw(*rest, *copies.values())
        return late + [delivery for delivery in rest if delivery in taken and copies.get(delivery, delivery) in taken]

    async def close(self) -> None:
        for delivery in list(self._delayed):
            self._undelayed(delivery)
            delivery.settle(Unavailable("the bus was closed before the message was sent"))
        await self._layer.close()

    def fence_of(self, channel: str) -> int:
        return self._layer.fence_of(channel)

    def now_ms(self) -> int:
        return self._layer.now_ms()

    async def open(self) -> None:
        await self._layer.open()

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Consumer:
        return self._layer.consume(channel, sink, credit, worker_id=worker_id)

    async def leave(self, channel: str, worker_id: str) -> None:
        await self._layer.leave(channel, worker_id)

    async def workers(self, channel: str) -> int:
        return await self._layer.workers(channel)

    async def worker_ids(self, channel: str) -> list[str]:
        return await self._layer.worker_ids(channel)

    async def subscribe(self, group: str, channel: str) -> None:
        await self._layer.subscribe(group, channel)

    def unsubscribe(self, group: str, channel: str) -> None:
        self._layer.unsubscribe(group, channel)

    async def subscribers(self, group: str) -> list[str]:
        return await self._layer.subscribers(group)

    def _push_delayed(self, delivery: Delivery) -> None:
        del self._delayed[delivery]
        self._layer.push(delivery)

    def _push_twice(self, delivery: Delivery) -> None:
        copy = self._copies[delivery] = _Copy(delivery.channel, delivery.frame, delivery.options)
        self._layer.push(delivery)
        self._layer.push(copy)

    def _undelayed(self, delivery: Delivery) -> bool:
        timer = self._delayed.pop(delivery, None)
        if timer is not None:
            timer.cancel()
        return timer is not None


class HarnessBus(ServiceBus):
    """A bus with ``mischief``: what it sends is dropped, delayed, duplicated or refused as that says.

    It misbehaves as a sender: give the caller one to spoil requests, the service one to spoil replies.
    """

    def __init__(self, url: str | None = None, *, mischief: Mischief | None = None, **options: Any) -> None:
        super().__init__(url, **options)
        self.mischief = mischief or Mischief()

    async def _open_layer(self) -> Layer:
        return HarnessLayer(await super()._open_layer(), self.mischief)
