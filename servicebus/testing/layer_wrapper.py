"""A layer that passes every call on to another layer: the base of layers that change some of the calls."""

from __future__ import annotations

from ..layers.delivery import Delivery
from ..layers.layer import Ability, Consumer, Layer, Sink
from ..protocol.credit import Budget


class LayerWrapper:
    """Everything that the wrapped layer is, with its delivery guarantee. See ``Layer`` for the methods.

    Args:
        layer: the layer that does the work.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    @property
    def abilities(self) -> frozenset[Ability]:
        return self._layer.abilities

    def fence_of(self, channel: str) -> int:
        return self._layer.fence_of(channel)

    def now_ms(self) -> int:
        return self._layer.now_ms()

    async def open(self) -> None:
        await self._layer.open()

    async def close(self) -> None:
        await self._layer.close()

    def push(self, delivery: Delivery) -> None:
        self._layer.push(delivery)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        return await self._layer.withdraw(*deliveries)

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
