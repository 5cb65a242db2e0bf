"""``servicebus.layers.redis.RedisChannelLayer``: what goes into CHANNEL_LAYERS.

Delivery guarantee: at most once, FIFO per channel and sender, exact capacity, nothing delivered after its expiry.
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, NamedTuple

from ..errors import ChannelFull, MessageTooLarge
from ..layers.limits import Limits
from ..layers.redis.topology.target import Target
from ..protocol.codec import MalformedFrame
from .channel_names import check, check_message, checked_member, plain_name
from .configured_layer import ConfiguredLayer
from .io_thread import ended
from .loop_bridge import to_running_loop
from .sending import MessageDelivery
from .settings import live_limits


class Native(NamedTuple):
    """Where a layer of one server keeps its messages, and how many of them for how long."""

    target: Target
    prefix: str
    limits: Limits


class RedisChannelLayer(ConfiguredLayer):
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

    @property
    def native(self) -> Native | None:
        """What the bus needs to reach this layer's users without it.

        None for a subclass, for shards, and for messages in another form: the bus then has to go through the layer.
        """
        if type(self) is not RedisChannelLayer or len(self._targets) > 1 or not self._messages.plain:
            return None
        return Native(self._targets[0], self.prefix, live_limits(self._configured, self))

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
        await self._process.run(lambda engine: engine.inbox.groups.add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group if it is in it. Cancelling is safe. Raises as ``group_add``."""
        group, channel = checked_member(self, group, channel)
        await self._process.run(lambda engine: engine.inbox.groups.discard(group, channel))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every member. A member that is full misses the message: counted, and given to ``on_group_drop``.

        Cancelling is safe: members may or may not get the message. Raises as ``send``, but never ChannelFull.
        """
        self.require_valid_group_name(group)
        check_message(message)
        group, body = plain_name(group), self._messages.body(message, self.serialize)
        await self._process.run(lambda engine: engine.inbox.group_sender.send(group, self._frames.for_group(body)))

    async def flush(self) -> None:
        """Remove every message and group of this prefix, here and on the servers. The layer stays usable.

        Cancelling is safe: some may have been removed. Raises Unavailable or SendUnknown.
        """
        await self._process.run(lambda engine: engine.flush())

    async def close_pools(self) -> None:
        """Disconnect. What was received and not read stays; the next use connects again. Cancelling is safe."""
        await self._process.close()

    close = close_pools
