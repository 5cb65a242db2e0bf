"""Replies on their way out: where they go, what they are encoded as, and what stands in for one that cannot go."""

from __future__ import annotations

import logging
from typing import ClassVar, NamedTuple

import msgspec

from ..config import DEFAULT_MAX_MESSAGE_SIZE
from ..contract.names import MAX_LENGTH, is_channel
from ..errors import MessageTooLarge, ServiceBusError
from ..layers.delivery import BUNDLED, Options
from ..layers.layer import Layer
from ..protocol.addresses import caller_of, split_address
from ..protocol.codec import Codec
from ..protocol.envelope import IncomingRequest, OutgoingError, OutgoingReply
from ..telemetry import Counters

KNOWN_ORIGINS = 10_000
REPLY_OUTLIVES_MS = 1000
LATEST = 2**64 - 1
"""The last instant that a frame can name."""

logger = logging.getLogger(__name__)


class Reply(msgspec.Struct, eq=False, gc=False):
    """A reply on its way. Nobody waits for the outcome; a reply that the layer did not take is counted."""

    channel: str
    frame: bytes
    counters: Counters
    options: ClassVar[Options] = BUNDLED

    def settle(self, error: ServiceBusError | None) -> None:
        if error is not None:
            self.counters.lost_replies += 1
            logger.warning("a reply was lost: %s", error)


class Origin(NamedTuple):
    """Who sent a message, and where what is for that process goes: a list, and how local names there begin."""

    caller: str
    channel: str
    local: str


NOBODY = Origin("", "", "")


class Replies:
    """The outgoing side of a dispatcher."""

    def __init__(self, layer: Layer, counters: Counters, codec: Codec, *, max_size: int, expiry_ms: int) -> None:
        self._layer, self._counters, self._encode = layer, counters, codec.encode_frame
        self._max_size, self._expiry_ms = max_size, expiry_ms
        self._origins: dict[str, Origin] = {}

    def answer(self, message: IncomingRequest, outcome: OutgoingReply | OutgoingError) -> None:
        """Reply to a message, if it wants that."""
        if message.reply_channel:
            self.send(*self.origin(message.reply_channel), message, outcome)

    def send(
        self, origin: Origin, unique: str, message: IncomingRequest, outcome: OutgoingReply | OutgoingError
    ) -> None:
        """Reply to a message of which ``origin`` has told whose it is."""
        if not origin.channel or len(message.reply_channel) >= MAX_LENGTH:
            self._counters.rejected_frames += 1
            logger.warning("a reply was dropped: %r is no channel name", message.reply_channel)
            return
        # Once its deadline has passed, nobody reads a reply.
        until = message.deadline + REPLY_OUTLIVES_MS if message.deadline else self._layer.now_ms() + self._expiry_ms
        expires = until if until < LATEST else LATEST
        channel = origin.channel
        fence, local = self._layer.fence_of(channel), origin.local + unique
        try:
            frame = self._encode(fence, expires, local, outcome, self._max_size, channel)
        except Exception as error:  # noqa: BLE001 - whatever is in it, its caller gets an answer
            frame = self._encode(fence, expires, local, _substitute(error, message), DEFAULT_MAX_MESSAGE_SIZE, channel)
        self._layer.push(Reply(channel, frame, self._counters))

    def origin(self, reply_channel: str) -> tuple[Origin, str]:
        """Whose reply channel it is, and what is unique in it. It came from outside, and may be no legal name.

        What repeats, all but the call's own part, is remembered.
        """
        name, mark, unique = reply_channel.partition("!")
        known = self._origins.get(name)
        if known is not None and unique.isalnum():  # as ours are; any other name is looked at as a whole
            return known, unique
        if not is_channel(reply_channel):
            return NOBODY, unique
        if not mark:
            return Origin(caller_of(reply_channel), reply_channel, ""), ""
        if len(self._origins) >= KNOWN_ORIGINS:
            self._origins.clear()
        origin = self._origins[name] = Origin(caller_of(reply_channel), *split_address(name + mark))
        return origin, unique


def _substitute(error: Exception, message: IncomingRequest) -> OutgoingError:
    """What a caller gets instead of a reply that cannot be sent."""
    if isinstance(error, MessageTooLarge):
        text = f"the reply of {error.size} bytes is over the limit of {error.limit}"
        return OutgoingError("error", "reply_too_large", "yes", text, {"size": error.size, "limit": error.limit})
    asked = (message.type, message.correlation_id)
    logger.error("the reply of %r cannot be encoded (correlation ID %r)", *asked, exc_info=error)
    return OutgoingError("error", "reply_not_encodable", "yes", "the reply cannot be encoded as msgpack")
