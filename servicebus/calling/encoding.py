"""From a request to its frame: the one place where the caller's half encodes what it sends."""

from __future__ import annotations

from ..api.context import Context
from ..api.wire import Wire
from ..errors import InvalidRequest
from ..layers.layer import Layer
from ..protocol.envelope import OutgoingRequest

NOT_ENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What msgspec raises for a value that msgpack cannot hold."""


def encode_request(
    layer: Layer, wire: Wire, target: str, local: str, now_ms: int, expires: int, outgoing: OutgoingRequest
) -> bytes:
    """A request, one-way message or event as a frame.

    Args:
        layer: the layer that will move it; it knows the fence of the primary in charge.
        wire: codec and size limit.
        target: the list that it goes to.
        local: its local name there, "" for a channel of its own list.
        now_ms: the instant of sending, on the server's clock.
        expires: the instant after which it must not be delivered.
        outgoing: the envelope, with its body.

    Raises:
        InvalidRequest: msgpack cannot hold the body.
        MessageTooLarge: the frame is over the limit.
    """
    try:
        fence = layer.fence_of(target)
        return wire.codec.encode_sent(fence, expires, local, outgoing, now_ms, wire.max_message_size, target)
    except NOT_ENCODABLE as error:
        raise InvalidRequest(f"the message cannot be encoded as msgpack: {error}", "$") from error


def headers_of(context: Context) -> dict[str, str] | None:
    """The headers of a context as the encoder takes them, None when there are none."""
    return dict(context.headers) if context.headers else None
