"""Requests that a proxy and the gateway could read differently are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servicebus.gateway import Gateway

from ...support.gateway_client import JSON, Headers, closing


async def answered(app: Any, path: str, raw_path: bytes | None, headers: Headers = (JSON,)) -> int:
    """The status of a request, by its path as the server has decoded it and as the client has sent it."""
    sent: list[Any] = []
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": b'{"text": "x"}', "more_body": False})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
    }
    await app(scope if raw_path is None else {**scope, "raw_path": raw_path}, incoming.get, send)
    status: int = sent[0]["status"]
    return status


@pytest.fixture
def gateway() -> Gateway:
    return Gateway("memory://ambiguous", expose=["shop"])


ESCAPED = [b"/shop%2Fecho", b"/%73hop/echo", b"/shop/ech%6f", b"/shop%2fecho", b"%2Fshop/echo", b"/shop/echo%00"]


@pytest.mark.parametrize("raw", ESCAPED)
async def test_a_path_with_escapes_is_not_found(gateway: Gateway, raw: bytes) -> None:
    async with closing(gateway) as app:
        assert await answered(app, "/shop/echo", raw) == 404
        assert await answered(app, "/shop/echo", b"/shop/echo") == 503, "nobody serves it"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/shop/echo"])
async def test_two_hosts_are_refused(gateway: Gateway, path: str) -> None:
    async with closing(gateway) as app:
        for other in (b"a", b"b"):
            headers = (JSON, (b"host", b"a"), (b"Host", other))
            assert await answered(app, path, path.encode(), headers) == 400
