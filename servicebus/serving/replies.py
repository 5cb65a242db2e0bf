"""Replies on their way out: where they go, how they are encoded, and what stands in for one that cannot be sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import msgspec

from ..api.wire import Wire
from ..config import DEFAULT_MAX_MESSAGE_SIZE
from ..contract.names import MAX_LENGTH, is_channel
from ..errors import MessageTooLarge, ServiceBusError
from ..foundation.memo import Memo
from ..foundation.repeated_log import RepeatedLog
from ..layers.delivery import BUNDLED, Options
from ..layers.layer import Layer
from ..protocol import error_codes
from ..protocol.addresses import caller_of, split_address
from ..protocol.envelope import ERROR, IncomingRequest, OutgoingError, OutgoingReply

REPLY_OUTLIVES_MS = 1000
"""Milliseconds that a reply lives longer than its call's deadline: the caller's clock may differ a little."""
LATEST_MS = 2**64 - 1
"""Milliseconds: the last instant that a frame can name. A request may ask for a later one."""

logger = logging.getLogger(__name__)


class Reply(msgspec.Struct, eq=False, gc=False):
    """A reply on its way. Its outcome is not awaited; a reply that the layer did not take is counted and logged."""

    channel: str
    frame: bytes
    on_lost: Callable[[ServiceBusError], None]
    place: int = 0

    options: ClassVar[Options] = BUNDLED

    def settle(self, error: ServiceBusError | None) -> None:
        """Take the layer's outcome."""
        if error is not None:
            self.on_lost(error)


class Origin(NamedTuple):
    """The process that a request came from.

    Attributes:
        caller: its service, "" when the reply channel is not one of ours.
        channel: the list that it reads, "" when the reply channel is not a legal name.
        local: what the local names of its calls start with.
    """

    caller: str
    channel: str
    local: str


NO_ORIGIN = Origin("", "", "")
"""The origin of a message whose reply channel is not a legal name."""


def _origin_of(name: str) -> Origin:
    """The origin of a reply channel, by its part before the ``!``."""
    return Origin(caller_of(name + "!"), *split_address(name + "!"))


class Replies:
    """The outgoing side of a dispatcher.

    Attributes:
        log: takes what senders can cause again and again, for all parts of the dispatcher.
    """

    def __init__(self, layer: Layer, wire: Wire, resurrected: set[str]) -> None:
        self._layer = layer
        self._counters = wire.counters
        self._encode = wire.codec.encode_frame
        self.log = RepeatedLog(logger)
        self._max_size = wire.max_message_size
        self._expiry_ms = wire.expiry_ms
        # Reply channels of messages that another primary had taken, and that may have run there.
        self._resurrected = resurrected
        self._origins: Memo[str, Origin] = Memo(_origin_of)

    def answer(self, message: IncomingRequest, outcome: OutgoingReply | OutgoingError) -> None:
        """Reply to a message, if it wants that.

        A promoted replica may hand out a message that already ran, so "not executed" becomes "maybe" for such a one.
        """
        if not message.reply_channel:
            return
        if message.reply_channel in self._resurrected:
            self._resurrected.discard(message.reply_channel)
            if isinstance(outcome, OutgoingError) and outcome.executed == "no":
                outcome = msgspec.structs.replace(outcome, executed="maybe")
        self.send(*self.origin(message.reply_channel), message, outcome)

    def send(
        self, origin: Origin, unique: str, message: IncomingRequest, outcome: OutgoingReply | OutgoingError
    ) -> None:
        """Reply to a message. ``origin`` and ``unique`` are what ``self.origin`` found for its reply channel."""
        if not origin.channel:
            self._counters.rejected_frames += 1
            self.log.warning("a reply was dropped: %.120r is not a channel name", message.reply_channel)
            return
        # A reply that comes after its deadline is read by nobody.
        until = message.deadline + REPLY_OUTLIVES_MS if message.deadline else self._layer.now_ms() + self._expiry_ms
        expires = until if until < LATEST_MS else LATEST_MS
        channel = origin.channel
        fence, local = self._layer.fence_of(channel), origin.local + unique
        try:
            frame = self._encode(fence, expires, local, outcome, self._max_size, channel)
        except Exception as error:  # noqa: BLE001 - whatever the reply holds, its caller gets an answer
            frame = self._encode(
                fence, expires, local, self._substitute(error, message, outcome), DEFAULT_MAX_MESSAGE_SIZE, channel
            )
        self._layer.push(Reply(channel, frame, self._on_lost))

    def origin(self, reply_channel: str) -> tuple[Origin, str]:
        """The origin of a reply channel, and the part of the name that is unique to the call.

        The name came from outside and may be illegal: nothing of such a name is used. The part before the ``!``
        repeats, so it is remembered.
        """
        if len(reply_channel) >= MAX_LENGTH:
            return NO_ORIGIN, ""
        name, mark, unique = reply_channel.partition("!")
        known = self._origins.get(name)
        if known is not None and unique.isalnum():  # as our own call IDs are; any other name is checked as a whole
            return known, unique
        if not is_channel(reply_channel):
            return NO_ORIGIN, ""
        if not mark:
            return Origin(caller_of(reply_channel), reply_channel, ""), ""
        return self._origins[name], unique

    def _on_lost(self, error: ServiceBusError) -> None:
        self._counters.lost_replies += 1
        self.log.warning("a reply was lost: %s", error)

    def _substitute(
        self, error: Exception, message: IncomingRequest, outcome: OutgoingReply | OutgoingError
    ) -> OutgoingError:
        """What a caller gets instead of a reply that cannot be sent. What was not executed stays so."""
        if isinstance(outcome, OutgoingError) and outcome.executed != "yes":
            self.log.warning("a refusal of %r was sent shortened: %s", message.type, error)
            return error_codes.shortened(outcome)
        if isinstance(error, MessageTooLarge):
            return error_codes.reply_too_large(error.size, error.limit)
        asked = (message.type, message.correlation_id)
        logger.error("the reply of %r cannot be encoded (correlation ID %r)", *asked, exc_info=error)
        return OutgoingError(ERROR, "reply_not_encodable", "yes", "the reply cannot be encoded as msgpack")
