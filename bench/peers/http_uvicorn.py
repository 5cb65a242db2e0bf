"""HTTP/1.1 with JSON: uvicorn with uvloop and httptools, and an httpx client that keeps its connections.

As in https://www.uvicorn.org/ (its "standard" extras) and https://www.python-httpx.org/async/. The pool is the default
one of https://www.python-httpx.org/advanced/resource-limits/, 100 connections: with one for each of 256 calls in flight
httpx was twenty times slower here. The access log is off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ..load import Call
from .base import Peer, absent, driven_by, no_server, served_by

NAME = "http"
ENCODE = msgspec.json.encode
DECODE = msgspec.json.decode
HEADERS = [(b"content-type", b"application/json")]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Decode a body and encode it again: the smallest ASGI application that does so.

    Cancelling is safe: the request just ends.
    """
    body = b""
    more = True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    answer = ENCODE(DECODE(body))
    headers = [*HEADERS, (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def serve(address: str) -> None:
    """Answer every request with its message. Cancelling is safe: the server is stopped."""
    import uvicorn

    host, _, port = address.partition(":")
    config = uvicorn.Config(echo, host, int(port), access_log=False, log_level="warning", lifespan="off", backlog=8192)
    server = uvicorn.Server(config)
    try:
        await server.serve()
    finally:
        server.should_exit = True


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    """Yield a function that makes a call."""
    import httpx

    async with httpx.AsyncClient(timeout=10, trust_env=False) as session:
        url = f"http://{address}/echo"

        async def call(body: str) -> object:
            response = await session.post(url, content=ENCODE({"type": "echo", "body": body}))
            response.raise_for_status()
            return DECODE(response.content)

        yield call


PEER = Peer(NAME, lambda: absent("uvicorn", "httptools", "httpx"), no_server, served_by(NAME), driven_by(NAME), 256)
