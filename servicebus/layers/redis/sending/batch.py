"""What waits in a pipeline: batches of frames, and single commands between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ....errors import ServiceBusError
from ....protocol.bundles import MOST, bundles
from ...layer import Ticket

BATCH_FRAMES = 512
BATCH_BYTES = 256 * 1024


class Batch:
    """The frames of one script call."""

    __slots__ = ("_per_element", "bundled", "channel", "counted", "needs_worker", "size", "tickets")

    def __init__(self, first: Ticket) -> None:
        self.channel, self.needs_worker, self.counted = first.channel, first.needs_worker, first.counted
        self.bundled = first.bundled
        self._per_element = MOST if first.bundled and first.channel.endswith("!") else 1
        self.size = 0
        self.tickets: list[Ticket] = []

    def takes(self, ticket: Ticket) -> bool:
        """Whether it goes along with the others. The first always does, however large it is."""
        tickets, size = self.tickets, self.size + len(ticket.frame)
        if self.needs_worker is not ticket.needs_worker or self.bundled is not ticket.bundled:
            return False
        if self.counted != ticket.counted:
            return False
        if (size > BATCH_BYTES and tickets) or len(tickets) >= BATCH_FRAMES:
            return False
        tickets.append(ticket)
        self.size = size
        return True

    @property
    def elements(self) -> list[bytes]:
        """What is pushed to the list."""
        frames = [ticket.frame for ticket in self.tickets]
        return bundles(frames) if self._per_element > 1 < len(frames) else frames

    @property
    def whole(self) -> int:
        """How many elements that is."""
        return len(self.tickets) if self._per_element == 1 else -(-len(self.tickets) // MOST)

    def frames_in(self, elements: int) -> int:
        """How many of the frames are in the first so many elements."""
        return min(elements * self._per_element, len(self.tickets))

    def settle(self, error: ServiceBusError | None, first: int = 0) -> None:
        for ticket in self.tickets[first:]:
            ticket.settle(error)


class Command(NamedTuple):
    """A packed command that waits behind batches."""

    data: bytes
    answer: Callable[[Any], None]
