"""What the bus asks of a transport. Every layer here behaves the same; one conformance suite runs on all of them.

Delivery guarantee of every layer: at most once, FIFO per channel and sender, never more than ``capacity`` messages in a
channel, nothing delivered after its expiry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Protocol

from ..errors import ServiceBusError
from ..protocol.credit import Credit

Sink = Callable[[list[bytes], int], None]
"""Takes popped frames, oldest first, and the fence of the primary they were popped from. It must not raise."""

DEFAULT_CAPACITY = 10_000
DEFAULT_EXPIRY = 60.0
INBOX_CAPACITY = 100_000
"""Elements that wait for a whole process, messages and bundles: it drains its inbox all the time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a channel may hold, and for how long.

    Attributes:
        capacity: messages per channel, unless ``channel_capacity`` says otherwise.
        channel_capacity: glob or compiled pattern to messages; the first that matches the whole name wins.
        expiry: seconds that a message may lie unread.
        presence_ttl: seconds after which a silent worker no longer counts as one.
        capacity_of: asked for the capacity of a channel instead of the first two, from any thread. It may not raise.
    """

    capacity: int = DEFAULT_CAPACITY
    channel_capacity: Mapping[str | re.Pattern[str], int] = field(default_factory=dict)
    expiry: float = DEFAULT_EXPIRY
    presence_ttl: float = 5.0
    capacity_of: Callable[[str], int] | None = None

    def capacity_rules(self) -> list[tuple[re.Pattern[str], int]]:
        """The patterns of ``channel_capacity``, compiled, in order."""
        return [
            (re.compile(translate(pattern)) if isinstance(pattern, str) else pattern, capacity)
            for pattern, capacity in self.channel_capacity.items()
        ]


class CapacityOf:
    """Capacity by the name of a channel or inbox, remembered for the names seen last."""

    def __init__(self, limits: Limits) -> None:
        self._ask = limits.capacity_of
        self._default = limits.capacity
        self._rules = limits.capacity_rules()
        self._known: dict[str, int] = {}

    def __call__(self, channel: str) -> int:
        return INBOX_CAPACITY if channel.endswith("!") else self.of_channel(channel)

    def of_channel(self, channel: str) -> int:
        """The capacity of a channel by its full name, which may end with the ``!`` of an inbox."""
        if self._ask is not None:
            return self._ask(channel)
        if not self._rules:
            return self._default
        known = self._known.get(channel)
        if known is None:
            if len(self._known) >= 10_000:
                self._known.clear()
            matches = (capacity for pattern, capacity in self._rules if pattern.match(channel))
            known = self._known[channel] = next(matches, self._default)
        return known


class Ticket(Protocol):
    """One frame on its way, and who wants to know what became of it.

    ``channel`` is the list it goes to: a channel, or the inbox of a process (see ``protocol.names.route``). With
    ``needs_worker`` it is refused when nobody is registered with that list. ``counted`` is the full name of a
    channel whose own capacity is to be kept, whatever a process has taken and not handed over included, "" for none:
    its readers must then say what they hold. ``bundled``: nobody waits for what becomes of it, so that what goes to
    one inbox at once may be one element of its list (see ``protocol.bundles``), taken or refused as a whole.
    """

    frame: bytes

    @property
    def channel(self) -> str: ...

    @property
    def needs_worker(self) -> bool: ...

    @property
    def counted(self) -> str: ...

    @property
    def bundled(self) -> bool: ...

    def settle(self, error: ServiceBusError | None) -> None:
        """Called exactly once: None when the channel took the frame, else why it did not. It must not raise."""


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

    def push(self, ticket: Ticket) -> None:
        """Queue a frame for its channel. Never blocks; the outcome goes to ``ticket.settle``.

        What is pushed in one tick of the loop to one channel travels together, in order. Errors: ChannelFull, NoWorkers
        (when the ticket needs a worker), Unavailable, SendUnknown, Overloaded.
        """

    async def withdraw(self, *tickets: Ticket) -> list[Ticket]:
        """Take frames back. Those returned were still queued, so nobody has handled them and nobody will.

        Safe to cancel: frames may or may not have been taken back.
        """

    def consume(self, channel: str, sink: Sink, credit: Credit, *, worker_id: str = "") -> Consumer:
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
