"""Errors to the wire and back: one table for both directions. docs/spec.md, section 6."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec

from ..contract.decoding import body_decoder
from ..contract.request import errors_of
from ..contract.service_errors import ServiceError
from ..errors import (
    DeadlineExceeded,
    Executed,
    InvalidRequest,
    MessageTooLarge,
    Overloaded,
    RemoteError,
    ServiceBusError,
    Unauthorized,
    UnknownOperation,
    WorkerLost,
)
from ..foundation.text import encodable
from .codec import UNDECODABLE, encode
from .envelope import ERROR, IncomingReply, OutgoingError

SHORT = 1000
"""Characters of a message that is shortened: enough for what went wrong, and little beside any limit of a message."""

logger = logging.getLogger(__name__)

_PATH = re.compile(r" - at `(?:key )?([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_decode = body_decoder(Any)


def invalid(error: Exception) -> InvalidRequest:
    """A decoder's complaint as InvalidRequest: the text without the path, and the path of the field at fault."""
    text = str(error)
    found, missing = _PATH.search(text), _MISSING.search(text)
    path = found[1] if found else "$"
    return InvalidRequest(_PATH.sub("", text), f"{path}.{missing[1]}" if missing else path)


def refused(error: ServiceBusError) -> OutgoingError:
    """What a caller is told of a request that was refused before its handler started."""
    # A class derived by users may lack every attribute, so each has a default here.
    reason = encodable(getattr(error, "reason", None) or "")
    match error:
        case InvalidRequest():
            return _not_executed("invalid_request", reason, {"field": encodable(getattr(error, "field", "$"))})
        case UnknownOperation():
            named = {"operation": encodable(error.operation), "known": [*map(encodable, error.known)]}
            return _not_executed("unknown_operation", encodable(error), named)
        case MessageTooLarge():
            sizes = {"size": _whole(error.size), "limit": _whole(error.limit)}
            return _not_executed("message_too_large", encodable(error), sizes)
        case Overloaded() | Unauthorized():
            return _not_executed("overloaded" if isinstance(error, Overloaded) else "unauthorized", reason)
    raise AssertionError(f"{type(error).__name__} is no refusal")


def failed(error: BaseException) -> OutgoingError:
    """What a caller is told of an exception that came out of a handler: it ran, whatever the exception says.

    An InvalidRequest or NoWorkers here is of a call that the handler made, so it is "internal" to its own caller.
    """
    error = ungrouped(error)
    if isinstance(error, RemoteError):
        code = encodable(error.code) or "internal"
        return OutgoingError(ERROR, code, "yes", encodable(error.message), error.details)
    if isinstance(error, ServiceBusError):
        return OutgoingError(ERROR, "internal", "yes", f"the handler failed: {error}")
    return OutgoingError(ERROR, "internal", "yes", "the handler failed; the worker's log says why")


def ungrouped(error: BaseException) -> BaseException:
    """The error that a group of errors stands for, as a ``TaskGroup`` raises one: errors of a contract count first.

    A group with any other error in it stands for itself, unless that is its only one: a mistake is not hidden.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    found: list[BaseException] = []
    groups: list[BaseException] = [error]
    while groups:
        inner = groups.pop()
        if isinstance(inner, BaseExceptionGroup):
            groups.extend(reversed(inner.exceptions))
        else:
            found.append(inner)
    if len(found) > 1 and not all(isinstance(one, ServiceBusError) for one in found):
        return error
    return next((one for one in found if isinstance(one, RemoteError)), found[0])


def stopped() -> OutgoingError:
    """The worker ended before the handler did."""
    return OutgoingError(ERROR, "worker_stopped", "maybe", "the worker stopped before the handler was done")


def expired() -> OutgoingError:
    """The request came out of the channel after its deadline and was not started."""
    return _not_executed("deadline_exceeded", "the deadline had passed when the worker took the request")


def shortened(error: OutgoingError) -> OutgoingError:
    """An error that could not be sent as it is, without its details and with the beginning of its message."""
    message = error.message if len(error.message) <= SHORT else error.message[:SHORT] + " ..."
    return OutgoingError(ERROR, error.code, error.executed, message)


def reply_too_large(size: int, limit: int) -> OutgoingError:
    """The handler ran, and its reply is over the limit, in bytes, of the worker or of the caller."""
    text = f"the reply of {size} bytes is over the limit of {limit}"
    return OutgoingError(ERROR, "reply_too_large", "yes", text, {"size": size, "limit": limit})


def oversized(reply: IncomingReply, size: int, limit: int) -> IncomingReply:
    """What a caller reads instead of a reply that is over its own limit. What was not executed stays so."""
    if reply.type == ERROR and reply.executed in ("no", "maybe"):
        return IncomingReply(ERROR, code=reply.code, executed=reply.executed, message=reply.message[:SHORT])
    error = reply_too_large(size, limit)
    details = msgspec.Raw(encode(error.details))
    return IncomingReply(ERROR, code=error.code, executed="yes", message=error.message, details=details)


def _not_executed(code: str, message: str, details: Any = None) -> OutgoingError:
    return OutgoingError(ERROR, code, "no", message, details)


def from_wire(reply: IncomingReply, channel: str, operation: str, request: type) -> ServiceBusError:
    """The exception that an error reply stands for. ``request`` is the class of the request, whose contract counts."""
    details = _details(reply)
    if reply.executed == "no":
        refusal = _refusal(reply, details if isinstance(details, dict) else {}, channel, operation)
        if refusal is not None:
            return refusal
    if reply.code == "worker_stopped":
        return WorkerLost(channel)
    return _declared(reply, details, request) or _remote(reply, details)


def _refusal(reply: IncomingReply, data: dict[str, Any], channel: str, operation: str) -> ServiceBusError | None:
    """The worker refused before the handler. A handler that raises one of these codes itself does not get here."""
    match reply.code:
        case "invalid_request":
            return InvalidRequest(reply.message, str(data.get("field", "$")))
        case "unknown_operation":
            known = data.get("known", ())
            return UnknownOperation(operation, tuple(map(str, known)) if isinstance(known, list) else ())
        case "unauthorized":
            return Unauthorized(operation, reply.message)
        case "overloaded":
            return Overloaded(channel, reply.message)
        case "deadline_exceeded":
            return DeadlineExceeded(channel, operation, "queued")
        case "message_too_large":
            return MessageTooLarge(_whole(data.get("size")), _whole(data.get("limit")))
    return None


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _declared(reply: IncomingReply, details: Any, request: type) -> ServiceError | None:
    kind = errors_of(request).get(reply.code)
    if kind is None:
        return None
    try:
        fields = msgspec.convert(details, kind.shape())
        return kind(**msgspec.structs.asdict(fields))
    except msgspec.ValidationError:
        return None
    except Exception:
        logger.exception("%s cannot be made from the details of an error reply", kind.__qualname__)
        return None


def _remote(reply: IncomingReply, details: Any) -> RemoteError:
    executed: Executed = "no" if reply.executed == "no" else "maybe" if reply.executed == "maybe" else "yes"
    return RemoteError(reply.code, reply.message, details, executed)


def _details(reply: IncomingReply) -> Any:
    if not bytes(reply.details):
        return None
    try:
        return _decode(reply.details)
    except UNDECODABLE:
        return None
