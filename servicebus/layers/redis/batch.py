"""What waits in a pipeline: batches of frames, and single commands between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import ServiceBusError
from ...protocol.bundles import bundle
from ..base import Ticket

BATCH_FRAMES = 512
BATCH_BYTES = 256 * 1024


class Batch:
    """The frames of one script call."""

    __slots__ = ("bundled", "channel", "counted", "needs_worker", "size", "tickets")

    def __init__(self, first: Ticket) -> None:
        self.channel, self.needs_worker, self.counted = first.channel, first.needs_worker, first.counted
        # Copies for groups, which need a worker, are refused one by one where an inbox is full.
        self.bundled = first.channel.endswith("!") and not first.counted and not first.needs_worker
        self.size = 0
        self.tickets: list[Ticket] = []

    def takes(self, ticket: Ticket) -> bool:
        """Whether it goes along with the others. The first always does, however large it is."""
        tickets, size = self.tickets, self.size + len(ticket.frame)
        if self.needs_worker is not ticket.needs_worker or self.counted != ticket.counted:
            return False
        if (size > BATCH_BYTES and tickets) or len(tickets) >= BATCH_FRAMES:
            return False
        tickets.append(ticket)
        self.size = size
        return True

    @property
    def pushed_whole(self) -> int:
        """What the script says when it has pushed all."""
        return 1 if self.bundled else len(self.tickets)

    @property
    def elements(self) -> list[bytes]:
        """What is pushed to the list."""
        frames = [ticket.frame for ticket in self.tickets]
        return [bundle(frames)] if self.bundled and len(frames) > 1 else frames

    def settle(self, error: ServiceBusError | None, first: int = 0) -> None:
        for ticket in self.tickets[first:]:
            ticket.settle(error)


class Command(NamedTuple):
    """A packed command that waits behind batches."""

    data: bytes
    answer: Callable[[Any], None]
