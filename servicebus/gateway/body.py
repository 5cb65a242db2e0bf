"""Reading the body of a request, within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from ..errors import InvalidRequest, MessageTooLarge
from ..protocol.codec import UNDECODABLE
from .limits import Limits
from .refusals import Disconnected, RequestTimeout

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def read_body(receive: Receive, declared: int, limits: Limits) -> bytes:
    """Read the whole body.

    Cancelling is safe: the request is lost, and nothing has run.

    Args:
        receive: of ASGI.
        declared: the length in bytes that the headers declare, 0 for none.
        limits: the bounds of size and time.

    Raises:
        MessageTooLarge: the body is larger than ``limits.max_body``. It is not read to its end.
        RequestTimeout: the body did not arrive within ``limits.body_within``.
        Disconnected: the client closed its connection.
    """
    if declared > limits.max_body:
        raise MessageTooLarge(declared, limits.max_body)
    try:
        async with asyncio.timeout(limits.body_within):
            return await _read(receive, limits.max_body)
    except TimeoutError:
        raise RequestTimeout from None


async def _read(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > limit:
            raise MessageTooLarge(len(body), limit)
        more = message.get("more_body", False)
    return bytes(body)


def fields_of(body: bytes) -> dict[str, Any]:
    """Decode a body into the fields of a request. The path names the operation, so the body must not name one.

    Raises:
        InvalidRequest: the body is empty, is not a JSON object, or has a field ``type``.
    """
    if not body:
        raise InvalidRequest("the body is empty: send a JSON object, {} if the operation has no fields")
    try:
        fields = _decode(body)
    except UNDECODABLE as error:
        raise InvalidRequest(f"the body is not a JSON object: {error}") from error
    if "type" in fields:
        raise InvalidRequest('the path names the operation: leave "type" out', "$.type")
    return fields
