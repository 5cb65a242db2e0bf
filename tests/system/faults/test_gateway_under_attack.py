"""Clients of the gateway that are slow, large, rude, or gone."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from servicebus import Context, ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.record import Figures
from ...support.gateway_desk import Sleeper
from ...support.running_gateway import (
    GatewayProcess,
    Reply,
    gateway,
    posting,
    read_reply,
)
from ...support.timing import MS, allowed, eventually

BODY_WITHIN = 0.5
LARGE = 10_000_000
LARGE_BODIES = 8
GROWTH = 8 * 1024
AT_ONCE = 100
GONE_WITHIN = 100 * MS
TIMES = 20
QUEUE = "asgi:{site.request}"
HEAD = b"POST /site/echo HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
ANNOUNCED = HEAD + b"content-length: %d\r\n\r\n" % LARGE

pytestmark = pytest.mark.row(36)


class Site(Sleeper):
    """A service that takes one call at a time, and what it has seen."""

    def __init__(self) -> None:
        super().__init__("site")
        self.contexts: list[Context] = []
        self.service.handler("echo")(self.echo)

    def has_started(self, number: int) -> bool:
        return self.started == number

    def has_cancelled(self, number: int) -> bool:
        return self.cancelled == number

    async def echo(self, message: dict[str, Any], context: Context) -> dict[str, Any]:
        self.contexts.append(context)
        return message


@pytest.fixture
async def site(own_server: Server) -> AsyncIterator[Site]:
    site = Site()
    async with ServiceBus(own_server.url) as bus, bus.serving(site.service, concurrency=1):
        yield site


@pytest.fixture
def edge(own_server: Server, tmp_path: Path) -> Iterator[GatewayProcess]:
    arguments = ("--expose", "site", "--body-within", str(BODY_WITHIN), "--forward", "x-tenant")
    with gateway(tmp_path, own_server.url, *arguments) as started:
        yield started


async def asked(edge: GatewayProcess, sent: bytes) -> Reply:
    return await asyncio.to_thread(edge.ask, sent)


async def serves_on(edge: GatewayProcess) -> None:
    reply = await asked(edge, posting("/site/echo", b'{"n": 1}'))
    assert (reply.status, reply.json) == (200, {"type": "echo", "n": 1})
    assert edge.process.poll() is None
    assert "Traceback" not in edge.log


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"P", id="line"),
        pytest.param(b"POST /site/echo HTTP/1.1\r\nhost: here\r\n", id="head"),
        pytest.param(posting("/site/echo", b"{}" * 50)[:-60], id="body"),
        pytest.param(CHUNKED + b"1\r\n{\r\n", id="chunks"),
    ],
)
async def test_a_request_that_arrives_too_slowly_is_ended(
    site: Site, edge: GatewayProcess, sent: bytes, figures: Figures, request: pytest.FixtureRequest
) -> None:
    reply, seconds = await asyncio.to_thread(drip, edge, sent)
    assert (reply.status, reply.json["code"], reply.json["executed"]) == (408, "request_timeout", "no")
    assert BODY_WITHIN * 0.9 < seconds < allowed(BODY_WITHIN + 1000 * MS)
    figures(36, f"a slow {request.node.callspec.id}: 408 after {seconds:.2f} s of {BODY_WITHIN:.1f} s")
    await serves_on(edge)


def drip(edge: GatewayProcess, sent: bytes) -> tuple[Reply, float]:
    """Begin a request, go on with it for ever, and read what comes back."""
    began = time.monotonic()
    with edge.connect() as link:
        link.sendall(sent)
        link.settimeout(0.05)
        while time.monotonic() - began < 20.0:
            try:
                return read_reply(link), time.monotonic() - began
            except TimeoutError:
                link.send(b"0")
    raise AssertionError("it was listened to for ever")


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_bodies_of_10_megabytes_are_refused_and_kept_nowhere(
    site: Site, edge: GatewayProcess, figures: Figures, chunked: bool
) -> None:
    await serves_on(edge)
    before, files = edge.fresh_peak_kib(), edge.files
    took = await asyncio.gather(*(asyncio.to_thread(pour, edge, chunked) for _ in range(LARGE_BODIES)))
    assert {reply.status for reply, _ in took} == {413}
    assert {reply.json["code"] for reply, _ in took} == {"message_too_large"}
    grown, most = edge.peak_kib - before, max(sent for _, sent in took)
    assert grown < GROWTH
    await eventually(lambda: edge.files <= files)
    how = "in chunks" if chunked else "announced"
    figures(
        36, f"{LARGE_BODIES} bodies of 10 MB at once, {how}: 413, {grown} KiB more memory, {most:,} bytes sent at most"
    )
    await serves_on(edge)


def pour(edge: GatewayProcess, chunked: bool) -> tuple[Reply, int]:
    """Send as much of a large body as is taken until the answer comes, and how much that was."""
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n" if chunked else b"x" * 65_536
    sent = 0
    with edge.connect() as link:
        link.sendall(CHUNKED if chunked else ANNOUNCED)
        while sent < LARGE and not readable(link):
            link.sendall(piece)
            sent += len(piece)
        return read_reply(link), sent


def readable(link: socket.socket) -> bool:
    link.setblocking(False)
    try:
        return bool(link.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        link.settimeout(20.0)


async def test_the_call_of_a_client_that_went_while_it_was_queued_is_withdrawn(
    site: Site, edge: GatewayProcess, own_server: Server, figures: Figures
) -> None:
    busy = edge.connect()
    busy.sendall(posting("/site/sleep"))
    await eventually(lambda: site.started == 1)
    slowest = 0.0
    for _ in range(TIMES):
        waiting = edge.connect()
        waiting.sendall(posting("/site/sleep"))
        await eventually(lambda: own_server.run("LLEN", QUEUE) == 1)
        waiting.close()
        slowest = max(slowest, await eventually(lambda: own_server.run("LLEN", QUEUE) == 0))
    busy.close()
    await eventually(lambda: site.cancelled == 1)
    assert site.started == 1
    assert slowest < allowed(GONE_WITHIN)
    figures(36, f"{TIMES} clients gone while queued: withdrawn after {slowest * 1000:.0f} ms at most, none started")
    await serves_on(edge)


async def test_the_handler_of_a_client_that_went_is_cancelled(
    site: Site, edge: GatewayProcess, figures: Figures
) -> None:
    slowest = 0.0
    for number in range(1, TIMES + 1):
        waiting = edge.connect()
        waiting.sendall(posting("/site/sleep"))
        await eventually(partial(site.has_started, number))
        waiting.close()
        slowest = max(slowest, await eventually(partial(site.has_cancelled, number)))
    assert slowest < allowed(GONE_WITHIN)
    figures(36, f"{TIMES} clients gone while dispatched: handler cancelled after {slowest * 1000:.0f} ms at most")
    await serves_on(edge)


RUDE = [
    ("a line end in a header", posting("/site/echo", head=b"x-correlation-id: a\r\n b\r\n"), 400),
    ("a bare CR in a header", posting("/site/echo", head=b"x-correlation-id: a\rset-cookie: b\r\n"), 400),
    ("a bare LF in a header", posting("/site/echo", head=b"x-tenant: a\nset-cookie: forged\r\n"), 400),
    ("NUL in a header", posting("/site/echo", head=b"x-tenant: a\x00b\r\n"), 400),
    ("an escape in a header", posting("/site/echo", head=b"x-correlation-id: a\x1b[2J\r\n"), 400),
    ("no ASCII in a header", posting("/site/echo", head=b"x-tenant: \xff\xfe\r\n"), 400),
    ("a space in a header's name", posting("/site/echo", head=b"x tenant: a\r\n"), 400),
    ("CRLF in the path", posting("/site/echo%0d%0aset-cookie:%20forged"), 404),
    ("CRLF as the service", posting("/%0d%0aset-cookie:%20forged/echo"), 404),
    ("CRLF as it is in the path", posting("/site/echo\r\nset-cookie: forged"), 400),
    ("no ASCII in the path", posting("/site/\xff"), 400),
    ("a percent that ends", posting("/site/echo%"), 404),
    ("a path with dots", posting("/x/../site/echo"), 404),
    ("daphne's own header", posting("/site/echo", head=b"daphne-root-path: \xff%0d%0a\r\n"), 200),
    ("a WebSocket", b"GET /site/echo HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", 405),
    ("JSON cut off", posting("/site/echo", b'{"n": '), 400),
    ("a list", posting("/site/echo", b"[]"), 400),
    ("a type of its own", posting("/site/echo", b'{"type": "sleep"}'), 400),
    ("a bomb of brackets", posting("/site/echo", b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"), 400),
    ("no body and no length", b"POST /site/echo HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\r\n", 400),
    ("a form", posting("/site/echo").replace(b"application/json", b"text/plain"), 415),
    ("a broken form", posting("/site/echo").replace(b"application/json", b"multipart/form-data; boundary=x"), 415),
    ("a length that is no number", posting("/site/echo").replace(b"length: 2", b"length: -2"), 400),
    ("two lengths", posting("/site/echo", head=b"content-length: 3\r\n"), 400),
    ("a length and chunks", posting("/site/echo", head=b"transfer-encoding: chunked\r\n"), 400),
    ("a huge header", posting("/site/echo", head=b"x-tenant: " + b"x" * 1_000_000 + b"\r\n"), 431),
    ("many headers", posting("/site/echo", head=b"x-tenant: a\r\n" * 5000), 431),
    ("a huge path", posting("/site/" + "x" * 100_000), 431),
    ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("an unknown method", b"BREW /site/echo HTTP/1.1\r\nhost: h\r\n\r\n", 405),
    ("what is not exposed", posting("/inventory/reserve"), 404),
    ("a huge timeout", posting("/site/echo", head=b"x-request-timeout: 1e999\r\n"), 400),
]


async def test_rude_requests_get_the_right_status_and_change_nothing(
    site: Site, edge: GatewayProcess, figures: Figures
) -> None:
    statuses: Counter[int] = Counter()
    for what, sent, status in RUDE:
        reply = await asked(edge, sent)
        statuses[reply.status] += 1
        assert reply.status == status, f"{what}: {reply}"
        assert "forged" not in reply.head, what
        assert "\x1b" not in reply.head, what
        await serves_on(edge)
    assert "forged" not in edge.log
    assert re.fullmatch(r"[ -~\n]*", edge.log), edge.log
    assert site.started == 0
    headers = [dict(context.headers) for context in site.contexts]
    assert set().union(*headers) <= {"x-tenant"}
    counts = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    figures(36, f"{len(RUDE)} rude requests: {counts}; a call after each was served")


async def test_requests_in_parallel_are_all_answered(site: Site, edge: GatewayProcess, figures: Figures) -> None:
    links = [edge.connect() for _ in range(AT_ONCE)]
    try:
        for number, link in enumerate(links):
            link.sendall(posting("/site/echo", b'{"n": %d}' % number))
        replies = [await asyncio.to_thread(read_reply, link) for link in links]
    finally:
        for link in links:
            link.close()
    assert Counter(reply.status for reply in replies) == {200: AT_ONCE}
    assert [reply.json["n"] for reply in replies] == list(range(AT_ONCE))
    figures(36, f"{AT_ONCE} requests in parallel: {AT_ONCE} right answers")
    await serves_on(edge)
