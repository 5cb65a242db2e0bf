"""What ``send`` makes of a message: a frame that expires, and a delivery that the I/O thread settles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..errors import ChannelFull, SendUnknown, ServiceBusError, private_copy
from ..layers.delivery import Options
from ..protocol.codec import MAX_FRAME, encode_sent
from .group_sender import FrameFor
from .in_flight import InFlight
from .loop_bridge import LoopBridge
from .settings import check_seconds
from .shard import Shard


class FrameBuilder:
    """Builds the frames of one layer.

    Args:
        longest: seconds after which servers drop what nobody reads, as configured. It is the expiry at first.

    Attributes:
        expiry: seconds that a message may lie unread.
    """

    __slots__ = ("_expiry_ms", "_longest", "expiry")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self.set_expiry(longest)

    def set_expiry(self, seconds: float) -> None:
        """Let messages that are sent from now on expire after ``seconds``.

        Raises:
            ValueError: that is not a number of seconds, or is more than was configured.
        """
        check_seconds("expiry", seconds)
        if seconds > self._longest:
            raise ValueError(f"expiry is {seconds!r}: servers keep messages for {self._longest} s, as configured")
        self.expiry = seconds
        self._expiry_ms = int(seconds * 1000)

    def build(self, shard: Shard, fence: int, local: str, body: Any) -> bytes:
        """The frame of an encoded message for a local name on a server.

        Raises:
            MessageTooLarge: the frame is too large.
        """
        now_ms = shard.now_ms()
        return encode_sent(fence, now_ms + self._expiry_ms, local, body, now_ms, MAX_FRAME)

    def for_group(self, body: Any) -> FrameFor:
        """What builds the frames of a group's message, one for each member."""

        def frame_for(shard: Shard, target: str, local: str) -> bytes:
            return self.build(shard, shard.fence_of(target), local, body)

        return frame_for


class MessageDelivery:
    """One ``send``: the delivery that the I/O thread settles, and the future that the loop of its caller waits for.

    Attributes:
        shard: the server.
        channel: the list that the frame goes to.
        options: whose capacity the message counts against.
        fence: the fence that the frame was built under.
        frame: the frame. It is replaced when another primary takes over.
        place: always 0: such a message is never withdrawn.
        on_full: called instead of settling when the server refuses the message because its channel is full, and the
            loop has sent nothing after it.
        error: the outcome, None when the server took the message.
        future: ends, on the loop of the caller, with the outcome.
    """

    __slots__ = (
        "_as_sent",
        "_bridge",
        "_in_flight",
        "channel",
        "error",
        "fence",
        "frame",
        "future",
        "on_full",
        "options",
        "place",
        "shard",
    )

    def __init__(
        self,
        shard: Shard,
        channel: str,
        counted: str,
        fence: int,
        frame: bytes,
        bridge: LoopBridge,
        in_flight: InFlight,
    ) -> None:
        self.shard = shard
        self.channel = channel
        self.options = Options(counted=counted)
        self._bridge = bridge
        self._in_flight = in_flight
        self.fence = fence
        self.place = 0
        self.frame = frame
        # The frame that ``in_flight`` knows, whatever fence ``frame`` gets.
        self._as_sent = frame
        self.error: ServiceBusError | None = None
        self.on_full: Callable[[MessageDelivery], None] | None = None
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, error: ServiceBusError | None) -> None:
        """Take the outcome. In the I/O thread, once."""
        on_full, self.on_full = self.on_full, None
        if on_full is not None and isinstance(error, ChannelFull) and self._bridge.unsettled == 1:
            on_full(self)  # only when this loop has sent nothing later, which this message would come after
            return
        if error is not None and not isinstance(error, SendUnknown):
            self._in_flight.ended(self._as_sent)
        self.error = error
        self._bridge.post(self._done, None)

    def _done(self, _: None) -> None:
        """On the loop of the caller."""
        self._bridge.unsettled -= 1
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(private_copy(self.error))
