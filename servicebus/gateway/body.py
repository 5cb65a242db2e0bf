"""The body of a request: as much of it as may be, and no longer than it may take."""

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

_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def read_body(receive: Receive, declared: int, limits: Limits) -> bytes:
    """The whole body. Raises MessageTooLarge as soon as it is, RequestTimeout, Disconnected. Cancelling is safe."""
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
    """The object that a body is. The operation is in the path, so a ``type`` beside it would be a second one.

    Raises InvalidRequest.
    """
    if not body:
        raise InvalidRequest("the body is empty: send a JSON object, {} if the operation has no fields")
    try:
        fields = _decode(body)
    except UNDECODABLE as error:
        raise InvalidRequest(f"the body is no JSON object: {error}") from error
    if "type" in fields:
        raise InvalidRequest('the path says which operation is called: leave "type" out', "$.type")
    return fields
