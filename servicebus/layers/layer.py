"""What the bus asks of a transport. Every layer here behaves the same; one conformance suite runs on all of them.

Delivery guarantee of every layer: at most once, FIFO per channel and sender, never more than ``capacity`` messages in a
channel, nothing delivered after its expiry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..protocol.credit import Budget
from .delivery import Delivery

Sink = Callable[[list[bytes], int], None]
"""Takes popped frames, oldest first, and the fence of the primary they were popped from. It must not raise."""


class Consumer(Protocol):
    """A reader of one channel, from ``consume``."""

    async def ready(self) -> None:
        """Return once the reader has been connected, and registered if it is a worker. Safe to cancel."""

    async def stop(self) -> None:
        """Stop receiving; on return everything that was popped has been given to the sink. Idempotent.

        Cancelling the wait is safe: stopping goes on.
        """


class Layer(Protocol):
    """A transport. It belongs to the event loop that opened it."""

    def fence_of(self, channel: str) -> int:
        """What to stamp on a frame for ``channel`` (a channel or an inbox) that is built and pushed now.

        0: this layer has no primaries that could fail over.
        """

    def now_ms(self) -> int:
        """The server's clock, in milliseconds."""

    async def open(self) -> None:
        """Connect. Raises Unavailable when there is no server, ConfigurationError when it is too old."""

    async def close(self) -> None:
        """Stop all consumers, then flush and close. Frames not yet sent are refused with Unavailable."""

    def push(self, delivery: Delivery) -> None:
        """Queue a frame for its channel. Never blocks; the outcome goes to ``delivery.settle``.

        What is pushed in one tick of the loop to one channel travels together, in order. Errors: ChannelFull, NoWorkers
        (when the delivery needs a worker), Unavailable, SendUnknown, Overloaded.
        """

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        """Take frames back. Those returned were still queued, so nobody has handled them and nobody will.

        Safe to cancel: frames may or may not have been taken back.
        """

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Consumer:
        """Read ``channel``, or the inbox of a process, into ``sink``, as far as credit goes.

        With a ``worker_id`` the reader is registered as a worker, so that calls find one. Lost connections are
        replaced; while there is none, reading pauses.
        """

    async def leave(self, channel: str, worker_id: str) -> None:
        """Deregister a worker: from now on calls do not count on it."""

    async def workers(self, channel: str) -> int:
        """How many workers are registered with ``channel``."""

    async def worker_ids(self, channel: str) -> list[str]:
        """Who they are, as far as this layer knows them."""

    async def subscribe(self, group: str, channel: str) -> None:
        """Add ``channel`` to ``group`` and keep it there, across lost connections, until ``unsubscribe``."""

    def unsubscribe(self, group: str, channel: str) -> None:
        """Stop keeping it there: it ends an expiry later, unless another process keeps it."""

    async def subscribers(self, group: str) -> list[str]:
        """The channels in ``group``, sorted."""
