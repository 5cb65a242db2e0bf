"""Errors as HTTP answers: one table of statuses, and problem details (RFC 9457) for the body.

503 means that nothing has run. That is certain, so proxies and clients may repeat a request on a 503. The table
replaces texts that would show a client the inside: URLs, names of channels, advice to the operator.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from ..errors import (
    ChannelFull,
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    NoWorkers,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBusError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from .refusals import HeadersTooLarge, MethodNotAllowed, NotExposed, RequestTimeout, UnsupportedMediaType

RETRY_AFTER = 1
"""Seconds in the header Retry-After: the smallest whole number, because clients add a backoff of their own."""
MEDIA_TYPE = b"application/problem+json"

Headers = list[tuple[bytes, bytes]]


class Row(NamedTuple):
    """The answer for one kind of error. Without a ``text`` the client sees the text of the error."""

    status: int
    code: str
    text: str = ""


NO_SUCH_OPERATION = Row(404, "unknown_operation", "there is no such operation")
TABLE: dict[type[Exception], Row] = {
    InvalidRequest: Row(400, "invalid_request"),
    Unauthorized: Row(403, "unauthorized"),
    NotExposed: NO_SUCH_OPERATION,
    UnknownOperation: NO_SUCH_OPERATION,
    MethodNotAllowed: Row(405, "method_not_allowed"),
    RequestTimeout: Row(408, "request_timeout", "the request was not complete in time"),
    MessageTooLarge: Row(413, "message_too_large", "the request is too large"),
    UnsupportedMediaType: Row(415, "unsupported_media_type"),
    HeadersTooLarge: Row(431, "headers_too_large", "the headers of the request are too large"),
    SendUnknown: Row(502, "send_unknown", "contact was lost: the operation may have run"),
    WorkerLost: Row(502, "worker_lost", "the worker stopped before it was done: the operation may have run"),
    NoWorkers: Row(503, "no_workers", "no worker serves this now"),
    ChannelFull: Row(503, "channel_full", "too many requests are waiting"),
    Overloaded: Row(503, "overloaded", "too many requests are in progress"),
    Unavailable: Row(503, "unavailable", "the service bus cannot be reached"),
    DeadlineExceeded: Row(504, "deadline_exceeded", "there was no reply in time"),
}
"""Rows by class of error. A class that is not here is a mistake of this program."""

REMOTE: dict[str, Row] = {
    "internal": Row(500, "internal", "the operation failed"),
    "reply_not_encodable": Row(502, "reply_not_encodable", "the operation ran, and its reply cannot be sent"),
    "reply_too_large": Row(502, "reply_too_large", "the operation ran, and its reply is too large"),
    "reply_invalid": Row(502, "reply_invalid", "the operation ran, and its reply cannot be read"),
}
"""Rows by code, for handlers that ran. Every other code is one that a contract declares."""

DECLARED = 422
"""The HTTP status of errors that a contract declares: the request was understood, and the answer is no."""
REFUSED = Row(502, "refused", "the worker refused the request")
"""For a code of the bus when the request may have run: after a failover a worker cannot know whether it did."""
MISTAKE = Row(500, "gateway_failed", "the gateway failed")


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every answer that is not 200. Its ``type`` is the default, ``about:blank``."""

    title: str
    status: int
    detail: str
    code: str
    executed: str = ""
    retryable: bool | None = None
    field: str = ""
    stage: str = ""
    limit: int = 0
    details: Any = None


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    headers: Headers


def row_of(error: Exception) -> Row:
    """Return the row of the table for an error."""
    if isinstance(error, RemoteError):
        if error.executed != "yes":
            return REFUSED
        return REMOTE.get(error.code) or Row(DECLARED, error.code, error.message)
    return next((row for kind, row in TABLE.items() if isinstance(error, kind)), MISTAKE)


def response_to(error: Exception) -> Response:
    """Return the answer for an error. It never holds a traceback."""
    if isinstance(error, UnknownOperation):
        error = NotExposed()  # an outsider must not learn which of the two it is
    row = row_of(error)
    return Response(row.status, _encoded(_problem(error, row)), [(b"content-type", MEDIA_TYPE), *_headers(error)])


def _problem(error: Exception, row: Row) -> Problem:
    problem = Problem(HTTPStatus(row.status).phrase, row.status, row.text or str(error), row.code, "maybe", False)
    if isinstance(error, ServiceBusError):
        problem.executed, problem.retryable = error.executed, error.retryable
    match error:
        case InvalidRequest():
            problem.detail, problem.field = error.reason, error.field
        case Unauthorized():
            problem.detail = error.reason or "not allowed"
        case DeadlineExceeded():
            problem.stage = error.stage
        case MessageTooLarge():
            problem.limit = error.limit
        case RemoteError() if row.status == DECLARED:
            problem.details = error.details
    return problem


def _headers(error: Exception) -> Headers:
    headers: Headers = []
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, ServiceBusError) and error.retryable:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER))
    return headers


def _encoded(problem: Problem) -> bytes:
    try:
        return msgspec.json.encode(problem)
    except (TypeError, ValueError, RecursionError):  # msgpack can encode the details, and JSON cannot
        problem.details = None
        return msgspec.json.encode(problem)
