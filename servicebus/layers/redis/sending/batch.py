"""What waits in a pipeline: batches of frames, and single commands between them. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from ....errors import ServiceBusError
from ....protocol.bundles import MAX_FRAMES as FRAMES_PER_BUNDLE
from ....protocol.bundles import bundles
from ...delivery import Delivery

MAX_FRAMES = 512
"""Frames of one script call: a script with more would keep the server from its other clients."""
MAX_BYTES = 256 * 1024
"""Bytes of one script call, for the same reason. A larger frame goes alone."""

logger = logging.getLogger(__name__)


class Batch:
    """The frames of one script call.

    Attributes:
        channel: the list that all of them go to.
        options: how the layer treats all of them.
        size: bytes of the frames.
        deliveries: oldest first.
    """

    __slots__ = ("_per_element", "channel", "deliveries", "options", "size")

    def __init__(self, first: Delivery) -> None:
        self.channel = first.channel
        self.options = first.options
        # Frames in each list element.
        self._per_element = FRAMES_PER_BUNDLE if first.options.may_bundle and first.channel.endswith("!") else 1
        self.size = len(first.frame)
        self.deliveries: list[Delivery] = [first]

    def join(self, delivery: Delivery, size: int) -> int:
        """Take one more delivery along.

        Args:
            delivery: the next one.
            size: bytes of its frame.

        Returns:
            How many deliveries the batch has now; 0 when this one needs a batch of its own.
        """
        if self.options is not delivery.options and self.options != delivery.options:
            return 0
        deliveries = self.deliveries
        size, count = self.size + size, len(deliveries)
        if count >= MAX_FRAMES or (size > MAX_BYTES and count):
            return 0
        deliveries.append(delivery)
        self.size = size
        return count + 1

    @property
    def elements(self) -> list[bytes]:
        """The list elements to push."""
        if len(self.deliveries) == 1:
            return [self.deliveries[0].frame]
        frames = [delivery.frame for delivery in self.deliveries]
        return bundles(frames) if self._per_element > 1 < len(frames) else frames

    @property
    def whole(self) -> int:
        """How many list elements there are."""
        return len(self.deliveries) if self._per_element == 1 else -(-len(self.deliveries) // FRAMES_PER_BUNDLE)

    def frames_in(self, elements: int) -> int:
        """How many of the frames are in the first ``elements`` list elements."""
        return min(elements * self._per_element, len(self.deliveries))

    def settle_taken(self, elements: int, number: int) -> None:
        """Tell the deliveries of the first ``elements`` list elements that they were taken, and give them their places.

        Args:
            elements: how many the channel took.
            number: that of the last of these, 0 when the list does not number its frames.
        """
        taken = self.deliveries[: self.frames_in(elements)]
        if number:
            place = number - len(taken)
            for delivery in taken:
                place += 1
                delivery.place = place
        self._settle(taken, None)

    def settle(self, error: ServiceBusError | None, first: int = 0) -> None:
        """Give the deliveries from ``first`` on their outcome."""
        self._settle(self.deliveries[first:], error)

    def _settle(self, deliveries: list[Delivery], error: ServiceBusError | None) -> None:
        for delivery in deliveries:
            try:
                delivery.settle(error)
            except Exception:
                logger.exception("a delivery to %s could not take its outcome", self.channel)


class Command(NamedTuple):
    """A packed command that waits behind batches, and the callback that takes its answer."""

    data: bytes
    answer: Callable[[Any], None]

    @property
    def size(self) -> int:
        """Bytes of the command."""
        return len(self.data)
