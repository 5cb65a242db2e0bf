"""What the sender of a message is told. Pure: each function turns what happened into one of our errors.

what happened                                            the sender gets      executed
-------------------------------------------------------  -------------------  --------
the bus was closed before the message left               Unavailable          no
too many bytes wait for the layer                        Overloaded           no
the deadline of the request passed before it left        DeadlineExceeded     no
any other message expired before it left                 Unavailable          no
the layer gave no channel for the reply                  Unavailable          no
the layer raised an error of ours                        that error           as it says
the layer raised the ChannelFull of channels             ChannelFull          no
the layer cannot serialize the message                   InvalidRequest       no
the layer raised anything else, or hung                  SendUnknown          maybe
the bus was closed while the layer sent the message      SendUnknown          maybe
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from channels.exceptions import ChannelFull as ForeignChannelFull

from ...errors import (
    ChannelFull,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    SendUnknown,
    ServiceBusError,
    Unavailable,
)
from .messages import OutgoingMessage

Failure = TypeVar("Failure", bound=ServiceBusError)

UNHOLDABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What serializers raise for a value that they cannot hold. A bug in a layer's ``send`` may raise the same."""


def closed_before() -> Unavailable:
    """The error of a message that had not left when the bus was closed."""
    return Unavailable("the bus was closed before the message was sent")


def closed_during(name: str) -> SendUnknown:
    """The error of a message that the layer was sending when the bus was closed."""
    return SendUnknown(name, "the bus was closed")


def refusal(outgoing: OutgoingMessage, *, closed: bool, waiting: int, limit: int) -> ServiceBusError | None:
    """Return why a message may not wait for the layer, None when it may.

    Args:
        outgoing: the message.
        closed: whether the bus is closed.
        waiting: bytes that wait already.
        limit: bytes that may wait at once.
    """
    if closed:
        return closed_before()
    if waiting + outgoing.size > limit:
        return Overloaded(outgoing.delivery.channel, f"{waiting} bytes wait for the channel layer")
    return None


def lateness(outgoing: OutgoingMessage, now_ms: int) -> ServiceBusError | None:
    """Return the error of a message that has expired at ``now_ms``, None while it may be sent."""
    if now_ms < outgoing.expires:
        return None
    if now_ms >= outgoing.message.get("deadline", now_ms + 1):
        return DeadlineExceeded(outgoing.delivery.channel, outgoing.message["type"], "queued")
    return Unavailable(f"a message to {outgoing.name!r} had expired before the channel layer could take it")


def no_reply_channel(error: Exception) -> Unavailable:
    """The error of a request for whose reply the layer gave no channel: the request was not sent."""
    return _caused(Unavailable(f"the channel layer gives no channel for the reply: {error!r}"), error)


def send_failure(name: str, error: Exception, *, capacity_of: Callable[[str], int], holdable: bool) -> ServiceBusError:
    """Return the error for the sender when the layer's ``send`` has raised ``error``.

    Args:
        name: the full name of the channel.
        error: what the layer raised.
        capacity_of: returns how many messages a channel holds, as far as the layer tells.
        holdable: False when the layer certainly cannot serialize the message, so that it cannot have sent it.
    """
    if isinstance(error, ServiceBusError):
        return error
    if isinstance(error, ForeignChannelFull):
        return _caused(ChannelFull(name, capacity_of(name)), error)
    if isinstance(error, UNHOLDABLE) and not holdable:
        return _caused(InvalidRequest(f"the channel layer cannot hold the message: {error}"), error)
    return _caused(SendUnknown(name, f"the channel layer failed ({type(error).__name__}: {error})"), error)


def reply_may_come(error: ServiceBusError | None) -> bool:
    """Return whether a request with this outcome may have been sent, so that its reply is received."""
    return error is None or error.executed != "no"


def _caused(error: Failure, cause: BaseException) -> Failure:
    error.__cause__ = cause
    return error
