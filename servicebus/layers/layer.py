"""What the bus asks of a transport. Each layer states which of the optional abilities it has.

Delivery guarantee of every layer: at most once, FIFO per channel and sender, never more than ``capacity`` messages in a
channel, nothing delivered after its expiry. A message that was taken back takes no room in its channel, nor does one
that expired a second ago or earlier, as long as only such messages lie before it. A layer that rests on somebody else's
transport states its own, weaker guarantee in the docstring of its module. One conformance suite runs on every layer,
and skips the tests that need an ability which the layer does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from ..protocol.credit import Budget
from .delivery import Delivery

Sink = Callable[[list[bytes], int], None]
"""Takes popped frames, oldest first, and the fence of the primary they were popped from. It must not raise."""


class Ability(Enum):
    """What a transport may be able to do beyond moving messages. The bus works without each of them, but less well."""

    PRESENCE = "presence"
    """The layer knows every worker of a channel. It refuses a delivery with NoWorkers when there is none."""
    WITHDRAWAL = "withdrawal"
    """The layer can take back a frame that the transport has taken already, as long as nobody has read it."""
    INBOXES = "inboxes"
    """A process chooses the name of its inbox, and any process can push to that name."""
    OPAQUE_FRAMES = "opaque frames"
    """The layer moves the bytes of a frame unchanged, so that frames can be signed."""
    SUBSCRIBERS = "subscribers"
    """The layer lists the channels of a group, and ends a subscription an expiry after its last ``unsubscribe``."""


class Consumer(Protocol):
    """A reader of one channel, from ``Layer.consume``."""

    async def ready(self) -> None:
        """Return once the reader has been connected, and registered if it is a worker.

        Cancelling is safe: connecting goes on.
        """
        ...

    async def stop(self) -> None:
        """Stop receiving. On return every popped message has been given to the sink. Idempotent.

        Cancelling is safe: stopping goes on, and a second call waits for it.
        """
        ...


class Layer(Protocol):
    """A transport. A layer belongs to the event loop that opened it, and is used in that loop's thread only."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this layer can do beyond moving messages. It never changes."""
        ...

    def fence_of(self, channel: str) -> int:
        """Return the fence to stamp on a frame that is built and pushed now.

        Args:
            channel: a channel, or the inbox of a process.

        Returns:
            The fence of the primary that holds the channel; 0 when this layer has no primaries that could fail over.
        """
        ...

    def now_ms(self) -> int:
        """Return the time on the clock that all users of the transport share, in milliseconds since 1970."""
        ...

    async def open(self) -> None:
        """Connect. Cancelling is safe: what was connected is closed again, and the layer is not open.

        Raises:
            Unavailable: no server can be reached.
            ConfigurationError: the server is too old, or the settings do not fit it.
        """
        ...

    async def close(self) -> None:
        """Stop all consumers, then flush and close. Frames that were not sent are refused with Unavailable.

        Cancelling is not safe: connections may stay open. ``ServiceBus.close`` shields this call.
        """
        ...

    def push(self, delivery: Delivery) -> None:
        """Queue a frame for its channel. Never blocks; the outcome goes to ``delivery.settle``.

        What is pushed in one tick of the loop to one channel travels together, in order. The outcome is None, or one of
        these errors: ChannelFull, NoWorkers (when the delivery needs a worker), Unavailable, SendUnknown, Overloaded.
        """
        ...

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        """Take frames back that were pushed here.

        Cancelling is safe: the frames may or may not have been taken back.

        Returns:
            The deliveries that were still queued. No handler has seen them, and none will. A layer without
            ``Ability.WITHDRAWAL`` takes back only what has not left this process.
        """
        ...

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Consumer:
        """Read a channel into ``sink``, as far as credit goes. Lost connections are replaced.

        Args:
            channel: a channel, or the inbox of this process.
            sink: called in the thread of this loop, in the context of this call.
            credit: the layer takes it before it receives; the owner of the messages releases it.
            worker_id: registers the reader as a worker, so that calls find one; "" does not.
        """
        ...

    async def leave(self, channel: str, worker_id: str) -> None:
        """Deregister a worker: from now on calls do not count on it. Its consumer still reads.

        Cancelling is safe: the worker may or may not be deregistered; its registration ends by itself.

        Raises:
            SendUnknown: the server did not answer in time; the registration ends by itself.
            Unavailable: there is no connection; the registration ends by itself.
        """
        ...

    async def workers(self, channel: str) -> int:
        """Return how many workers are registered with ``channel``. Cancelling is safe.

        Raises:
            Unavailable, SendUnknown: the server cannot be asked.
        """
        ...

    async def worker_ids(self, channel: str) -> list[str]:
        """Return the IDs of the workers of ``channel``, as far as this layer knows them. Cancelling is safe.

        Raises:
            Unavailable, SendUnknown: the server cannot be asked.
        """
        ...

    async def subscribe(self, group: str, channel: str) -> None:
        """Add ``channel`` to ``group`` and keep it there, across lost connections, until ``unsubscribe``.

        Cancelling is safe: the channel may or may not be in the group, and the layer may keep it there.

        Raises:
            ConfigurationError: the transport has no groups.
            Unavailable, SendUnknown: the server cannot be told.
        """
        ...

    def unsubscribe(self, group: str, channel: str) -> None:
        """Stop keeping ``channel`` in ``group``. It leaves an expiry later, unless another process keeps it."""
        ...

    async def subscribers(self, group: str) -> list[str]:
        """Return the channels to push an event of ``group`` to, sorted. Cancelling is safe.

        Raises:
            ConfigurationError: the transport has no groups.
            Unavailable, SendUnknown: the server cannot be asked.
        """
        ...
