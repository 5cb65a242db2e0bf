"""A server for one application: it makes the scope of a request, feeds the body and takes the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from servicebus.gateway import Gateway

from .timing import LONG

JSON = (b"content-type", b"application/json")
Headers = Sequence[tuple[bytes, bytes]]


class Answer:
    """What an application answered."""

    def __init__(self, sent: list[Any]) -> None:
        start, *bodies = sent
        assert start["type"] == "http.response.start"
        self.status: int = start["status"]
        self.headers: dict[bytes, bytes] = dict(start["headers"])
        self.body = b"".join(message["body"] for message in bodies)
        assert self.headers[b"content-length"] == b"%d" % len(self.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers[b"content-type"] == b"application/problem+json"
        assert self.json["status"] == self.status
        code: str = self.json["code"]
        return code


class Exchange:
    """One request that is being made."""

    def __init__(self, app: Gateway, method: str, path: str, headers: Headers, query: bytes = b"") -> None:
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.chunks_read = 0
        where = {"path": path, "query_string": query, "root_path": ""}
        scope = {"type": "http", "method": method, "headers": list(headers), **where}
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def feed(self, body: bytes, *, more: bool = False) -> None:
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def answer(self) -> Answer:
        async with asyncio.timeout(LONG):
            await self.task
        return Answer(self.sent)

    async def _receive(self) -> Any:
        message = await self._incoming.get()
        self.chunks_read += 1
        return message

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


def begin(app: Gateway, path: str, *headers: tuple[bytes, bytes], method: str = "POST", query: bytes = b"") -> Exchange:
    return Exchange(app, method, path, [JSON, *headers], query)


async def post(app: Gateway, path: str, body: bytes = b"{}", *headers: tuple[bytes, bytes]) -> Answer:
    exchange = begin(app, path, *headers)
    exchange.feed(body)
    return await exchange.answer()


async def get(app: Gateway, path: str, method: str = "GET") -> Answer:
    exchange = Exchange(app, method, path, [])
    exchange.feed(b"")
    return await exchange.answer()


@asynccontextmanager
async def closing(app: Gateway) -> AsyncIterator[Gateway]:
    """Closed at the end, as a server without a lifespan never does."""
    try:
        yield app
    finally:
        await app.close()
