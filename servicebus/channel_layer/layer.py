"""``servicebus.layers.redis.RedisChannelLayer``: what goes into CHANNEL_LAYERS.

Delivery guarantee: at most once, FIFO per channel and sender, exact capacity, nothing delivered after its expiry.
"""

from __future__ import annotations

import re
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from channels.layers import BaseChannelLayer

from ..errors import ChannelFull, MessageTooLarge
from ..foundation import forks
from ..layers.limits import Limits
from ..layers.redis.topology.target import Target
from ..protocol.codec import MalformedFrame
from .channel_names import Destinations, check, check_message, checked_member, plain_name
from .drop_counters import DropCounters
from .hosts import Host, read_hosts
from .io_thread import ended, keep_inherited
from .loop_bridge import to_running_loop
from .process import ProcessState
from .sending import Expiry, FrameBuilder, MessageDelivery
from .serializer import Keys, Messages
from .settings import check_seconds, checked_limits, live_limits


class Native(NamedTuple):
    """Where a layer of one server keeps its messages, and how many of them for how long."""

    target: Target
    prefix: str
    limits: Limits


class RedisChannelLayer(BaseChannelLayer):  # type: ignore[misc] # channels has no types
    """A Channels layer on Redis >= 7.0 or Valkey >= 7.2. The arguments are those of channels_redis.

    One object serves all threads and event loops of a process, and needs no closing.

    Args:
        hosts: servers; more than one are shards. URLs (``redis+sentinel://`` and ``redis+cluster://`` too),
            ``(host, port)``, or dicts of connection keywords; with ``master_name`` and ``sentinels``, a primary.
        prefix: of every key.
        expiry: seconds that a message may lie unread.
        group_expiry: seconds after which a member that no consumer listens on leaves a group.
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
    expiry = Expiry()

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
        self._configured = checked_limits(capacity, channel_capacity, expiry)
        check_seconds("group_expiry", group_expiry)
        self._frames = FrameBuilder(expiry)
        rules = self.compile_capacities(channel_capacity or {})
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=rules)
        if isinstance(symmetric_encryption_keys, str | bytes):
            raise ValueError("symmetric_encryption_keys must be a list of keys; the first encrypts")
        check(isinstance(prefix, str), "prefix is not a str")
        self.group_expiry = group_expiry
        self.prefix = prefix
        self.counters = DropCounters(on_group_drop)
        self._targets = read_hosts(hosts)
        self._messages = Messages(serializer_format, symmetric_encryption_keys, random_prefix_length, expiry)
        kind = type(self)
        if (kind.serialize, kind.deserialize) != (RedisChannelLayer.serialize, RedisChannelLayer.deserialize):
            self._messages.plain = False
        self._destinations = Destinations()
        self._start()

    def _start(self) -> None:
        """Begin without connections and messages, under a new name: an object that is new in this process."""
        limits = live_limits(self._configured, self)
        self._process = ProcessState(self._targets, self.prefix, limits, self.group_expiry, self.counters)
        self.client_prefix = self._process.client
        self._finalizer = weakref.finalize(self, self._process.abandon)
        self._finalizer.atexit = False
        forks.run_in_child(self, _leave_parent)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: the configuration. A copy has connections, messages and a name of its own."""
        without = ("_process", "_finalizer", "client_prefix")
        return {name: value for name, value in self.__dict__.items() if name not in without}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    @property
    def native(self) -> Native | None:
        """What the bus needs to reach this layer's users without it.

        None for a subclass, for shards, and for messages in another form: the bus then has to go through the layer.
        """
        if type(self) is not RedisChannelLayer or len(self._targets) > 1 or not self._messages.plain:
            return None
        return Native(self._targets[0], self.prefix, live_limits(self._configured, self))

    def serialize(self, message: dict[str, Any]) -> bytes:
        """A message in the form of this layer's serializer. A subclass may have a form of its own."""
        return self._messages.serialize(message)

    def deserialize(self, message: bytes) -> dict[str, Any]:
        """The message in what ``serialize`` has returned."""
        return self._messages.deserialize(message)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message. Never waits for room.

        Cancelling is safe: the message may or may not be sent.

        Raises:
            ChannelFull: the channel is at its capacity.
            MessageTooLarge: the message is larger than a frame may be.
            TypeError: the name is bad, or the serializer cannot hold the message.
            AssertionError: ``message`` is not a dict.
            Unavailable: there is no server. SendUnknown: the connection broke before its answer.
        """
        check_message(message)
        channel = plain_name(channel)
        target, local = self._destinations.of(self, channel)
        process = self._process
        engine, shard = process.connection(target) or await process.connected(target)
        fence = shard.fence_of(target)
        frame = self._frames.build(shard, fence, local, self._messages.body(message, self.serialize))
        if target == process.inbox:
            if process.hand_over(channel, frame, self._frames.expiry):
                return
            process.in_flight.sent(frame)
        bridge = to_running_loop()
        delivery = MessageDelivery(shard, target, channel, fence, frame, bridge, process.in_flight)
        bridge.unsettled += 1
        at_once = bridge.unsettled == 1 and engine.push_directly(delivery)
        if not at_once and not engine.io_thread.post(engine.push, delivery):
            bridge.unsettled -= 1
            raise ended()
        await delivery.future

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message of ``channel``, however long that takes; over lost connections too.

        Cancelling is safe at any instant: a message that was on its way goes to the next ``receive``.

        Raises:
            TypeError: the name is bad.
            AssertionError: the channel is a process-local one of another process.
        """
        channel = plain_name(channel)
        target, local = self._destinations.of(self, channel)
        check(not local or target == self._process.inbox, "Wrong client prefix")
        while True:
            item = await self._process.next_item(channel)
            try:
                return self._messages.message(item.frame, self.deserialize)
            except MalformedFrame as error:
                self.counters.drop_unreadable(channel, str(error))

    async def new_channel(self, prefix: str = "specific") -> str:
        """A process-local channel that only this process can receive from. Cancelling is safe: there is no I/O."""
        return f"{prefix}.{self.client_prefix}!{uuid.uuid4().hex}"

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel, of any process, to a group, or renew its membership.

        Cancelling is safe: the channel may or may not be added. Raises TypeError, Unavailable or SendUnknown.
        """
        group, channel = checked_member(self, group, channel)
        await self._process.run(lambda engine: engine.groups.add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group if it is in it. Cancelling is safe. Raises as ``group_add``."""
        group, channel = checked_member(self, group, channel)
        await self._process.run(lambda engine: engine.groups.discard(group, channel))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every member. A member that is full misses the message: counted, and given to ``on_group_drop``.

        Cancelling is safe: members may or may not get the message. Raises as ``send``, but never ChannelFull.
        """
        self.require_valid_group_name(group)
        check_message(message)
        group, body = plain_name(group), self._messages.body(message, self.serialize)
        await self._process.run(lambda engine: engine.group_sender.send(group, self._frames.for_group(body)))

    async def flush(self) -> None:
        """Remove every message and group of this prefix, here and on the servers. The layer stays usable.

        Cancelling is safe: some may have been removed. Raises Unavailable or SendUnknown.
        """
        await self._process.run(lambda engine: engine.flush())

    async def close_pools(self) -> None:
        """Disconnect. What was received and not read stays; the next use connects again. Cancelling is safe."""
        await self._process.close()

    close = close_pools


def _leave_parent(layer: RedisChannelLayer) -> None:
    """In the child of a fork: the connections and messages of ``layer`` are the parent's."""
    layer._finalizer.detach()
    keep_inherited(layer._process)
    layer._start()
