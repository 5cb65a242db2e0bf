"""What a layer moves and who reads it, without a bus: deliveries that remember, readers that count."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgpack
from channels.layers import InMemoryChannelLayer, channel_layers

from servicebus import ChannelFull, ServiceBusError
from servicebus.layers.delivery import PLAIN, Options
from servicebus.layers.factory import layer_for
from servicebus.layers.layer import Ability, Consumer, Layer
from servicebus.layers.limits import Limits
from servicebus.protocol.codec import MAX_FRAME, encode_frame
from servicebus.protocol.credit import Credit

from .timing import LONG, MS, eventually


class Delivery:
    """One numbered message. ``outcome`` is None when it was taken, the error when not; it is set once."""

    def __init__(
        self,
        layer: Layer,
        channel: str,
        number: Any,
        needs_worker: bool = False,
        may_bundle: bool = False,
        expiry: float = 60.0,
    ) -> None:
        self.channel, self.number, self.options = channel, number, Options(needs_worker, may_bundle)
        self.place = 0
        fence, expires = layer.fence_of(channel), layer.now_ms() + int(expiry * 1000)
        self.frame = encode_frame(fence, expires, "", {"type": "n", "n": number}, MAX_FRAME)
        self.settled = asyncio.get_running_loop().create_future()

    def settle(self, error: ServiceBusError | None) -> None:
        assert not self.settled.done(), f"{self.number} was settled twice"
        self.settled.set_result(error)

    async def outcome(self) -> ServiceBusError | None:
        async with asyncio.timeout(LONG):
            error: ServiceBusError | None = await self.settled
        return error


class Sent:
    """A delivery on its way through code that settles none."""

    channel = "shop.request"
    options = PLAIN
    place = 0

    def __init__(self, frame: bytes = b"") -> None:
        self.frame = frame

    def settle(self, error: ServiceBusError | None) -> None:
        raise AssertionError("this delivery was not to be settled")


class Reader:
    """A consumer's sink. It gives credit back at once, unless told to ``hold``."""

    def __init__(
        self, layer: Layer, channel: str, *, credit: int = 100, hold: bool = False, worker_id: str = ""
    ) -> None:
        self.credit, self._hold = Credit(credit), hold
        self.frames: list[bytes] = []
        self.most_held = 0
        self.consumer: Consumer = layer.consume(channel, self._sink, self.credit, worker_id=worker_id)

    def _sink(self, frames: list[bytes], fence: int) -> None:
        self.frames += frames
        self.most_held = max(self.most_held, self.credit.held)
        if not self._hold:
            self.credit.release(len(frames))

    @property
    def numbers(self) -> list[Any]:
        return [number_of(frame) for frame in self.frames]

    async def has_read(self, count: int) -> None:
        await eventually(lambda: len(self.frames) >= count)


class Layers:
    """Opens layers of one URL, and closes them at the end of the test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: list[Layer] = []

    async def open(self, **limits: Any) -> Layer:
        if self._url.startswith("django:"):
            provide(self._url, Limits(**limits))
        layer = layer_for(self._url, "asgi", Limits(**limits), "tests")
        await layer.open()
        self._opened.append(layer)
        return layer

    async def close(self) -> None:
        for layer in self._opened:
            await layer.close()


class Everywhere:
    """The layers of each transport, by its name."""

    def __init__(self, layers: Mapping[str, Layers]) -> None:
        self._layers = layers

    async def each(self, promise: Callable[[Layers], Awaitable[None]]) -> None:
        """Keep a promise on all transports at once. What fails says where."""

        async def kept(name: str, layers: Layers) -> None:
            try:
                await promise(layers)
            except BaseException as error:
                error.add_note(f"on {name}")
                raise

        async with asyncio.TaskGroup() as group:
            for name, layers in self._layers.items():
                group.create_task(kept(name, layers))


def abilities_of(url: str) -> frozenset[Ability]:
    """What the layer of a URL can do beyond moving messages. Nothing is opened."""
    if not url.startswith("django:"):
        return layer_for(url, "asgi", Limits(), "tests").abilities
    provide(url, Limits())
    found = layer_for(url, "asgi", Limits(), "tests").abilities
    channel_layers.backends.pop(url.removeprefix("django://"))  # each test opens one with its own limits
    return found


def provide(url: str, limits: Limits) -> None:
    """Put a layer of channels behind an alias, with the limits that the first bus's layer of a test asks for."""
    alias = url.removeprefix("django://")
    if alias not in channel_layers.backends:
        rules = limits.capacity_rules()
        made = InMemoryChannelLayer(expiry=limits.expiry, capacity=limits.capacity, channel_capacity=rules)
        channel_layers.set(alias, made)


def number_of(frame: bytes) -> Any:
    return msgpack.unpackb(frame)[3]["n"]


def push(layer: Layer, channel: str, numbers: Iterable[Any], needs_worker: bool = False) -> list[Delivery]:
    """Push numbered messages in one tick."""
    deliveries = [Delivery(layer, channel, number, needs_worker) for number in numbers]
    for delivery in deliveries:
        layer.push(delivery)
    return deliveries


async def pushed(layer: Layer, channel: str, numbers: Iterable[Any]) -> None:
    """Push numbered messages and wait until the layer has taken them."""
    assert await outcomes(push(layer, channel, numbers)) == {None: len(list(numbers))}


async def outcomes(deliveries: Iterable[Delivery]) -> dict[type[ServiceBusError] | None, int]:
    """How many deliveries were taken (None), and how many refused, by error class."""
    results = [await delivery.outcome() for delivery in deliveries]
    return dict(Counter(None if error is None else type(error) for error in results))


async def left_in(layer: Layer, channel: str) -> list[Any]:
    """What still lies in the channel; it is gone after that."""
    reader = Reader(layer, channel, credit=10_000)
    await reader.consumer.ready()
    while ChannelFull in await outcomes(push(layer, channel, ["end"])):
        await asyncio.sleep(MS)  # a layer with one capacity for all may have no room for it yet
    await eventually(lambda: "end" in reader.numbers)
    await reader.consumer.stop()
    return [number for number in reader.numbers if number != "end"]
