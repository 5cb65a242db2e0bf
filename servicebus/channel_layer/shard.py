"""One server as the Channels backend needs it: a Redis layer, and the commands for groups, inboxes and flush."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..layers.delivery import Delivery
from ..layers.redis.layer import RedisLayer
from .direct_write import DirectWriteConnection
from .group_commands import ConnectionHook, GroupCommands
from .held_messages import HeldMessages
from .prefix_commands import PrefixCommands
from .profile import Profile


class Shard:
    """A connected server, from ``connect``. I/O thread only, unless a method says otherwise.

    Attributes:
        layer: the Redis layer of the server, open.
        client: the name of this process.
        held: commands for messages that this process holds.
        groups: commands for groups.
        prefix: commands for everything under the prefix.
        push: queues a frame; see ``Layer.push``. The bound method of the layer, for the shortest way.
        fence_of: what to stamp on a frame; see ``Layer.fence_of``. From any thread.
    """

    def __init__(self, layer: RedisLayer, profile: Profile, groups: GroupCommands) -> None:
        self.layer = layer
        self.client = profile.client
        self.groups = groups
        self.held = HeldMessages(layer, profile.client, profile.limits.expiry)
        self.prefix = PrefixCommands(layer)
        self.push: Callable[[Delivery], None] = layer.push
        self.fence_of: Callable[[str], int] = layer.fence_of
        self._direct = layer.nodes.direct
        self._clock = layer.nodes.clock

    def push_directly(self, delivery: Delivery, fence: int) -> bool:
        """Send a frame at once if nothing else is on its way. From any thread. False when the frame was not sent.

        Args:
            delivery: the frame.
            fence: the fence that the frame was built under.
        """
        pipeline = self._direct(delivery.channel)
        connection = pipeline.idle if pipeline is not None else None
        if pipeline is None or not isinstance(connection, DirectWriteConnection) or connection.outstanding:
            return False
        return connection.greeting.fence == fence and connection.write_directly(*pipeline.packed(delivery))

    def now_ms(self) -> int:
        """The server's clock, from any thread. The clock of the loop stands still while the I/O thread sleeps."""
        return int(time.monotonic() * 1000 + self._clock.offset_ms)

    def local_instant(self, server_ms: int) -> float:
        """An instant on the server's clock on the monotonic clock of this machine, in seconds."""
        return (server_ms - self._clock.offset_ms) / 1000


async def connect(profile: Profile, number: int, joined: Callable[[], Iterable[str]]) -> Shard:
    """Connect a server.

    Cancelling is safe: nothing stays open.

    Args:
        profile: what the layer was configured with.
        number: the number of the server.
        joined: the groups on this server that this process has members of.

    Raises:
        Unavailable: the server cannot be reached.
        ConfigurationError: the server cannot be used.
    """
    hook = ConnectionHook(joined)
    layer = RedisLayer(
        profile.targets[number],
        profile.prefix,
        profile.limits,
        "channels",
        connection_kind=DirectWriteConnection,
        on_connected=hook,
    )
    hook.commands = groups = GroupCommands(layer, profile)
    await layer.open()
    return Shard(layer, profile, groups)
