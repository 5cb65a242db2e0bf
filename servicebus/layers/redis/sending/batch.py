"""What waits in a pipeline: batches of frames, and single commands between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ....errors import ServiceBusError
from ....protocol.bundles import MOST, bundles
from ...delivery import Delivery

BATCH_FRAMES = 512
BATCH_BYTES = 256 * 1024


class Batch:
    """The frames of one script call."""

    __slots__ = ("_per_element", "channel", "deliveries", "options", "size")

    def __init__(self, first: Delivery) -> None:
        self.channel, self.options = first.channel, first.options
        self._per_element = MOST if first.options.may_bundle and first.channel.endswith("!") else 1
        self.size = 0
        self.deliveries: list[Delivery] = []

    def takes(self, delivery: Delivery) -> bool:
        """Whether it goes along with the others. The first always does, however large it is."""
        deliveries, size = self.deliveries, self.size + len(delivery.frame)
        if self.options is not delivery.options and self.options != delivery.options:
            return False
        if (size > BATCH_BYTES and deliveries) or len(deliveries) >= BATCH_FRAMES:
            return False
        deliveries.append(delivery)
        self.size = size
        return True

    @property
    def elements(self) -> list[bytes]:
        """What is pushed to the list."""
        frames = [delivery.frame for delivery in self.deliveries]
        return bundles(frames) if self._per_element > 1 < len(frames) else frames

    @property
    def whole(self) -> int:
        """How many elements that is."""
        return len(self.deliveries) if self._per_element == 1 else -(-len(self.deliveries) // MOST)

    def frames_in(self, elements: int) -> int:
        """How many of the frames are in the first so many elements."""
        return min(elements * self._per_element, len(self.deliveries))

    def settle(self, error: ServiceBusError | None, first: int = 0) -> None:
        for delivery in self.deliveries[first:]:
            delivery.settle(error)


class Command(NamedTuple):
    """A packed command that waits behind batches."""

    data: bytes
    answer: Callable[[Any], None]
