"""What arrives for this process: replies for its calls, and notices that callers elsewhere went away."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .api.wire import Wire
from .errors import LARGEST_MESSAGE
from .foundation.repeated_log import RepeatedLog
from .layers.layer import Consumer, Layer
from .protocol.addresses import inbox_mark, reply_prefix, split_address
from .protocol.bundles import unbundled
from .protocol.codec import MalformedFrame, decode_reply
from .protocol.control_messages import CANCEL, cancelled_calls
from .protocol.credit import Credit
from .protocol.envelope import ReplyFrame
from .protocol.error_codes import oversized

ELEMENTS_AT_ONCE = 32
"""List elements taken at once, each a reply or a bundle of 64: more would keep the event loop from its other work."""

OnReplies = Callable[[list[ReplyFrame]], None]
"""Takes decoded replies, oldest first. It must not raise."""
OnCancel = Callable[[set[str]], None]
"""Takes the reply channels of calls that were cancelled. It must not raise."""

logger = logging.getLogger(__name__)


class Inbox:
    """The one list that this process reads for itself. It belongs to the event loop that made it.

    Attributes:
        name: the list: ``<process>!``.
        reply_prefix: what every reply channel of this process starts with, up to and including the ``!``.
        local_prefix: what the local names of replies start with.
    """

    def __init__(self, layer: Layer, wire: Wire, service: str, process: str, on_replies: OnReplies) -> None:
        self._layer = layer
        self._counters = wire.counters
        self._log = RepeatedLog(logger)
        self._max_size = wire.max_message_size
        self.reply_prefix = reply_prefix(service, inbox_mark(service) + process)
        self.name, self.local_prefix = split_address(self.reply_prefix)
        self._decode = wire.codec.reading(self.name, decode_reply)
        self._on_replies = on_replies
        # The services that are served here: they are told of cancelled calls.
        self._on_cancel: list[OnCancel] = []
        self._credit = Credit(ELEMENTS_AT_ONCE)
        # None until the first call or the first service needs it.
        self._consumer: Consumer | None = None

    @property
    def is_read(self) -> bool:
        """Whether the inbox is being read."""
        return self._consumer is not None

    def read(self) -> str:
        """Read the inbox from now on. Idempotent.

        Returns:
            The name of the inbox, by which other processes reach this one.
        """
        if self._consumer is None:
            self._consumer = self._layer.consume(self.name, self._deliver, self._credit)
        return self.name

    def subscribe(self, on_cancel: OnCancel) -> None:
        """Tell ``on_cancel`` of calls that were cancelled, until ``unsubscribe``."""
        self._on_cancel.append(on_cancel)

    def unsubscribe(self, on_cancel: OnCancel) -> None:
        """Tell ``on_cancel`` no more. Idempotent."""
        if on_cancel in self._on_cancel:
            self._on_cancel.remove(on_cancel)

    def unique_part(self, call_id: str) -> str:
        """What stands after the ``!`` in the reply channel of a call of this process."""
        return call_id.removeprefix(self.local_prefix)

    async def close(self) -> None:
        """Stop reading. Cancelling is safe: stopping goes on."""
        if self._consumer is not None:
            await self._consumer.stop()

    def _deliver(self, elements: list[bytes], fence: int) -> None:
        replies: list[ReplyFrame] = []
        try:
            for frame in unbundled(elements):
                try:
                    parsed = self._decode(frame, LARGEST_MESSAGE)
                except MalformedFrame as error:
                    self._counters.rejected_frames += 1
                    self._log.warning("a reply was dropped: %s", error)
                    continue
                if parsed.local == CANCEL:
                    self._on_cancel_notice(frame)
                    continue
                if len(frame) > self._max_size:
                    message = oversized(parsed.message, len(frame), self._max_size)
                    parsed = ReplyFrame(parsed.fence, parsed.expires, parsed.local, message)
                replies.append(parsed)
        finally:
            # Whatever one frame does: the others are read, and the inbox takes more.
            self._on_replies(replies)
            self._credit.release(len(elements))

    def _on_cancel_notice(self, frame: bytes) -> None:
        try:
            reply_channels = cancelled_calls(frame)
        except MalformedFrame as error:
            self._counters.rejected_frames += 1
            self._log.warning("a cancel notice was dropped: %s", error)
            return
        for on_cancel in self._on_cancel:
            on_cancel(reply_channels)
