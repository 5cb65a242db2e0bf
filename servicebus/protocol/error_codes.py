"""Errors to the wire and back: one table for both directions. docs/spec.md, section 6."""

from __future__ import annotations

import re
from typing import Any

import msgspec

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
from .codec import UNDECODABLE
from .envelope import ERROR, IncomingReply, OutgoingError

_PATH = re.compile(r" - at `(?:key )?([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_decode = msgspec.msgpack.decode


def invalid(error: Exception) -> InvalidRequest:
    """A decoder's complaint as InvalidRequest: the text without the path, and the path of the field at fault."""
    text = str(error)
    found, missing = _PATH.search(text), _MISSING.search(text)
    path = found[1] if found else "$"
    return InvalidRequest(_PATH.sub("", text), f"{path}.{missing[1]}" if missing else path)


def refused(error: ServiceBusError) -> OutgoingError:
    """What a caller is told of a request that was refused before its handler started."""
    match error:
        case InvalidRequest():
            return _not_executed("invalid_request", error.reason, {"field": error.field})
        case UnknownOperation():
            return _not_executed("unknown_operation", str(error), {"operation": error.operation, "known": error.known})
        case MessageTooLarge():
            return _not_executed("message_too_large", str(error), {"size": error.size, "limit": error.limit})
        case Overloaded() | Unauthorized():
            return _not_executed("overloaded" if isinstance(error, Overloaded) else "unauthorized", error.reason)
    raise AssertionError(f"{type(error).__name__} is no refusal")


def failed(error: BaseException) -> OutgoingError:
    """What a caller is told of an exception that came out of a handler: it ran, whatever the exception says.

    An InvalidRequest or NoWorkers here is of a call that the handler made, so it is "internal" to its own caller.
    """
    if isinstance(error, RemoteError):
        return OutgoingError(ERROR, error.code, "yes", error.message, error.details)
    if isinstance(error, ServiceBusError):
        return OutgoingError(ERROR, "internal", "yes", f"the handler failed: {error}")
    return OutgoingError(ERROR, "internal", "yes", "the handler failed; the worker's log says why")


def stopped() -> OutgoingError:
    """The worker ended before the handler did."""
    return OutgoingError(ERROR, "worker_stopped", "maybe", "the worker stopped before the handler was done")


def expired() -> OutgoingError:
    """The request came out of the channel after its deadline and was not started."""
    return _not_executed("deadline_exceeded", "the deadline had passed when the worker took the request")


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
            return MessageTooLarge(_number(data, "size"), _number(data, "limit"))
    return None


def _number(data: dict[str, Any], key: str) -> int:
    value = data.get(key, 0)
    return value if isinstance(value, int) else 0


def _declared(reply: IncomingReply, details: Any, request: type) -> ServiceError | None:
    kind = errors_of(request).get(reply.code)
    if kind is None:
        return None
    try:
        fields = msgspec.convert(details, kind.shape())
    except msgspec.ValidationError:
        return None
    return kind(**msgspec.structs.asdict(fields))


def _remote(reply: IncomingReply, details: Any) -> RemoteError:
    error = RemoteError(reply.code or "internal", reply.message, details)
    executed: Executed = "no" if reply.executed == "no" else "maybe" if reply.executed == "maybe" else "yes"
    error.executed = executed
    return error


def _details(reply: IncomingReply) -> Any:
    if not bytes(reply.details):
        return None
    try:
        return _decode(reply.details)
    except UNDECODABLE:
        return None
