"""``servicebus.layers.redis.RedisChannelLayer``: what goes into CHANNEL_LAYERS.

Delivery guarantee: at most once, FIFO per channel and sender, exact capacity, nothing delivered after its expiry.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, ClassVar, NamedTuple

from channels.layers import BaseChannelLayer

from ..errors import (
    ChannelFull,
    MessageTooLarge,
    SendUnknown,
    ServiceBusError,
    private_copy,
)
from ..foundation import forks
from ..layers.delivery import Options
from ..layers.limits import CapacityOf, Limits
from ..layers.redis.topology.target import Target
from ..protocol.addresses import split_address
from ..protocol.codec import MAX_FRAME, MalformedFrame, encode_sent
from .drop_counters import Losses
from .hosts import Host, read_hosts
from .in_flight import Underway
from .io_thread import ended
from .loop_bridge import Handoff, to_running_loop
from .process import Backend
from .serializer import Keys, Messages
from .shard import Server

REMEMBERED = 10_000

logger = logging.getLogger(__name__)


class Destination(NamedTuple):
    """A valid channel name: the list it is sent to, and its local name there."""

    target: str
    local: str


class Native(NamedTuple):
    """Where a layer of one server keeps its messages, and how many of them for how long."""

    target: Target
    prefix: str
    limits: Limits


class Outgoing:
    """One ``send``: the delivery that the I/O thread settles, and the future that its caller's loop waits for."""

    __slots__ = (
        "_as_sent",
        "_handoff",
        "_underway",
        "channel",
        "error",
        "fence",
        "frame",
        "future",
        "on_full",
        "options",
        "server",
    )

    def __init__(
        self,
        server: Server,
        channel: str,
        counted: str,
        fence: int,
        frame: bytes,
        handoff: Handoff,
        underway: Underway,
    ) -> None:
        self.server, self.channel, self.options = server, channel, Options(counted=counted)
        self._handoff, self._underway = handoff, underway
        self.fence, self.frame = fence, frame
        self._as_sent = frame  # the other may be stamped anew
        self.error: ServiceBusError | None = None
        self.on_full: Callable[[Outgoing], None] | None = None
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, error: ServiceBusError | None) -> None:
        on_full, self.on_full = self.on_full, None
        if on_full is not None and isinstance(error, ChannelFull) and self._handoff.sending == 1:
            on_full(self)  # nothing that this loop sent after it may come before it
            return
        if error is not None and not isinstance(error, SendUnknown):
            self._underway.ended(self._as_sent)
        self.error = error
        self._handoff.post(self._done, None)

    def _done(self, _: None) -> None:
        self._handoff.sending -= 1
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(private_copy(self.error))


class RedisChannelLayer(BaseChannelLayer):  # type: ignore[misc] # channels has no types
    """A Channels layer on Redis >= 7.0 or Valkey >= 7.2. The arguments are those of channels_redis.

    One object serves all threads and event loops of a process, and needs no closing.

    Args:
        hosts: servers; more than one are shards. URLs (``redis+sentinel://`` and ``redis+cluster://`` too),
            ``(host, port)``, or dicts of connection keywords; with ``master_name`` and ``sentinels``, a primary.
        prefix: of every key.
        expiry: seconds that a message may lie unread.
        group_expiry: seconds after which a member that nobody listens on leaves a group.
        capacity: messages per channel.
        channel_capacity: glob or compiled pattern to messages; the first that matches the whole name wins.
        symmetric_encryption_keys: the first encrypts, all decrypt.
        random_prefix_length: accepted for compatibility; of what ``serialize`` returns.
        serializer_format: a format of channels_redis's serializer registry.
        on_group_drop: called in the I/O thread with group and channel for each copy that a full channel missed.

    Attributes:
        counters: what was dropped since the layer was made.
        client_prefix: the name of this process in its process-local channels.
    """

    extensions: ClassVar[list[str]] = ["groups", "flush"]
    ChannelFull, MessageTooLarge = ChannelFull, MessageTooLarge

    def __init__(
        self,
        hosts: Sequence[Host] | None = None,
        prefix: str = "asgi",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Keys | None = None,
        random_prefix_length: int = 12,
        serializer_format: str = "msgpack",
        on_group_drop: Callable[[str, str], None] | None = None,
    ) -> None:
        if not isinstance(channel_capacity, Mapping | None):
            raise ValueError(f"channel_capacity is {channel_capacity!r}: a dict of patterns and capacities")
        for value in (capacity, *(channel_capacity or {}).values()):
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"a capacity is a whole number of messages, not {value!r}")
        _check_seconds("group_expiry", group_expiry)
        self._configured = Limits(capacity, dict(channel_capacity or {}), expiry)
        rules = self.compile_capacities(channel_capacity or {})
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=rules)
        if isinstance(symmetric_encryption_keys, str | bytes):
            raise ValueError("symmetric_encryption_keys must be a list of keys; the first encrypts")
        _check(isinstance(prefix, str), "prefix is not a str")
        self.group_expiry, self.prefix = group_expiry, prefix
        self.counters = Losses(on_group_drop)
        self._targets = read_hosts(hosts)
        self._messages = Messages(serializer_format, symmetric_encryption_keys, random_prefix_length, expiry)
        kind = type(self)
        if (kind.serialize, kind.deserialize) != (RedisChannelLayer.serialize, RedisChannelLayer.deserialize):
            self._messages.plain = False
        self._destinations: dict[str, Destination] = {}
        self._start_afresh()
        forks.run_in_child(self, RedisChannelLayer._leave_parent)

    def _start_afresh(self) -> None:
        """No connection, no message, and a name of its own: a new object, or one that a fork has doubled."""
        self._backend = Backend(self._targets, self.prefix, self._limits(), self.group_expiry, self.counters)
        self.client_prefix = self._backend.client
        self._inbox = f"{self.client_prefix}!"
        self._finalizer = weakref.finalize(self, self._backend.abandon)
        self._finalizer.atexit = False

    def _leave_parent(self) -> None:
        """In the child of a fork."""
        self._finalizer.detach()
        _parents.append(self._backend)
        self._start_afresh()

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy: what it was configured with. It has connections, messages and a ``client_prefix`` of its own."""
        without = ("_backend", "_finalizer", "_inbox", "client_prefix")
        return {name: value for name, value in self.__dict__.items() if name not in without}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_afresh()
        forks.run_in_child(self, RedisChannelLayer._leave_parent)

    @property
    def expiry(self) -> float:
        """Seconds that a message may lie unread. It may become less later, for what is sent from then on."""
        return self._expiry

    @expiry.setter
    def expiry(self, seconds: float) -> None:
        _check_seconds("expiry", seconds)
        if seconds > self._configured.expiry:
            longest = self._configured.expiry
            raise ValueError(f"expiry is {seconds!r}: servers keep messages for {longest} s, as configured")
        self._expiry, self._expiry_ms = seconds, int(seconds * 1000)

    @property
    def native(self) -> Native | None:
        """What the bus needs to meet this layer's users without it. None for shards, or another form of messages."""
        if len(self._targets) > 1 or not self._messages.plain:
            return None
        return Native(self._targets[0], self.prefix, self._limits())

    def _limits(self) -> Limits:
        """Capacities are asked for at every send: sites change them, and override ``get_capacity``."""
        layer, configured = weakref.ref(self), CapacityOf(self._configured)

        def capacity_of(channel: str) -> int:
            asked = layer()
            try:
                return configured.of_channel(channel) if asked is None else int(asked.get_capacity(channel))
            except Exception:
                room = configured.of_channel(channel)
                logger.exception("get_capacity raised: %s has room for %d messages", channel, room)
                return room

        return replace(self._configured, capacity_of=capacity_of)

    def serialize(self, message: dict[str, Any]) -> bytes:
        """A message in the form of this layer's serializer. A subclass may have a form of its own."""
        return self._messages.serialize(message)

    def deserialize(self, message: bytes) -> dict[str, Any]:
        """The message in what ``serialize`` has returned."""
        return self._messages.deserialize(message)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message. Never waits for room.

        Raises ChannelFull at capacity, TypeError for a bad name, AssertionError for what is no message,
        servicebus.Unavailable or SendUnknown without a server. Cancelling is safe: the message may or may not be sent.
        """
        _check_message(message)
        channel = _plain(channel)
        target, local = self._destination(channel)
        engine, server = self._backend.connection(target) or await self._backend.connected(target)
        fence = server.fence_of(target)
        frame = self._frame(server, fence, local, self._messages.body(message, self.serialize))
        underway = self._backend.underway
        if target == self._inbox:
            if self._backend.hand_over(channel, frame, self._expiry):
                return
            underway.sent(frame)
        handoff = to_running_loop()
        outgoing = Outgoing(server, target, channel, fence, frame, handoff, underway)
        handoff.sending += 1
        at_once = handoff.sending == 1 and engine.push_through(outgoing)
        if not at_once and not engine.portal.post(engine.push, outgoing):
            handoff.sending -= 1
            raise ended()
        await outgoing.future

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message of ``channel``, however long it takes; over lost connections too.

        Raises TypeError for a bad name, AssertionError for a process-local channel of another process. Cancelling is
        safe at any instant: a message that was on its way goes to the next receive.
        """
        channel = _plain(channel)
        target, local = self._destination(channel)
        _check(not local or target == self._inbox, "Wrong client prefix")
        while True:
            item = await self._backend.next_item(channel)
            try:
                return self._messages.message(item.frame, self.deserialize)
            except MalformedFrame as error:
                self.counters.poison(channel, str(error))

    async def new_channel(self, prefix: str = "specific") -> str:
        """A process-local channel that only this process can receive from. No I/O."""
        return f"{prefix}.{self.client_prefix}!{uuid.uuid4().hex}"

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel, of any process, to a group, or refresh its membership.

        Raises TypeError for a bad name, Unavailable or SendUnknown. Cancelling is safe: it may or may not be added.
        """
        group, channel = self._member(group, channel)
        await self._backend.run(lambda engine: engine.membership.add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group; no error when it is not in it. Raises and is cancelled as ``group_add``."""
        group, channel = self._member(group, channel)
        await self._backend.run(lambda engine: engine.membership.discard(group, channel))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every member. A member that is full misses it: counted, and told to ``on_group_drop``.

        Raises as ``send``, but never ChannelFull. Cancelling is safe: members may or may not get the message.
        """
        self.require_valid_group_name(group)
        _check_message(message)
        group, body = _plain(group), self._messages.body(message, self.serialize)

        def frame_for(server: Server, target: str, local: str) -> bytes:
            return self._frame(server, server.fence_of(target), local, body)

        await self._backend.run(lambda engine: engine.membership.send(group, frame_for))

    async def flush(self) -> None:
        """Remove every message and group of this prefix, here and on the servers. The layer stays usable."""
        await self._backend.run(lambda engine: engine.flush())

    async def close_pools(self) -> None:
        """Disconnect. What was received and not read stays; the next use connects again."""
        await self._backend.close()

    close = close_pools

    def _member(self, group: str, channel: str) -> tuple[str, str]:
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        return _plain(group), _plain(channel)

    def _destination(self, channel: str) -> Destination:
        found = self._destinations.get(channel)
        if found is None:
            self.require_valid_channel_name(channel)
            if len(self._destinations) >= REMEMBERED:
                self._destinations.clear()
            found = self._destinations[channel] = Destination(*split_address(channel))
        return found

    def _frame(self, server: Server, fence: int, local: str, body: Any) -> bytes:
        now_ms = server.now_ms()
        return encode_sent(fence, now_ms + self._expiry_ms, local, body, now_ms, MAX_FRAME)


def _plain(name: str) -> str:
    """A name is sometimes a member of an Enum, which is formatted as something else."""
    return str.__str__(name) if isinstance(name, str) else name


def _check(condition: bool, reason: str) -> None:
    """What the specification has raised as AssertionError, under ``python -O`` too."""
    if not condition:
        raise AssertionError(reason)


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not 0 < value < inf:
        raise ValueError(f"{name} is {value!r}: a number of seconds, more than 0")


def _check_message(message: object) -> None:
    _check(isinstance(message, dict), "message is not a dict")
    _check("__asgi_channel__" not in message, "__asgi_channel__ is a reserved key")  # type: ignore[operator]


# What a fork has doubled is never closed in the child: its descriptors are the parent's too.
_parents: list[Backend] = []
