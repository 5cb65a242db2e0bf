"""Clients of the gateway that send request after request and do not read what they are answered."""

from __future__ import annotations

import asyncio
import re
import select
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from servicebus import Service, ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.record import Figures
from ...support.running_gateway import GatewayProcess, gateway, posting
from ...support.timing import LONG, MS

REQUESTS = 60_000
"""Requests that a client would send on one connection if it could."""
ROOM = 16 * 1024
"""KiB that the gateway may grow by, whatever clients do not read."""
STUCK_AFTER = 1.0
"""Seconds without room in the connection after which a client gives up sending."""
CLIENTS = 8

LARGE = "x" * 30_000
SENT = {
    "probes": b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n",
    "calls": posting("/site/large"),
    "paths that do not exist": posting("/site/other/path"),
    "headers that are not allowed": b"GET /livez HTTP/1.1\r\nhost: h\r\nx: \x01\r\n\r\n",
    "expectations": posting("/site/small", head=b"expect: 100-continue\r\n"),
}

pytestmark = pytest.mark.row(45)


@pytest.fixture
async def edge(own_server: Server, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    service = Service("site")

    @service.handler("large")
    async def large(message: dict[str, Any]) -> str:
        return LARGE

    @service.handler("small")
    async def small(message: dict[str, Any]) -> int:
        return 1

    async with ServiceBus(own_server.url) as bus, bus.serving(service):
        with gateway(tmp_path, own_server.url, "--expose", "site") as started:
            yield started


async def done(edge: GatewayProcess) -> None:
    """Wait until the gateway does nothing any more."""
    spent = -1.0
    async with asyncio.timeout(LONG):
        while spent != (spent := edge.cpu_seconds):
            await asyncio.sleep(500 * MS)


def connected(edge: GatewayProcess) -> socket.socket:
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    link.connect(("127.0.0.1", edge.port))
    return link


def pipelined(link: socket.socket, request: bytes) -> int:
    """Send the same request again and again, read nothing, and return how many bytes were taken."""
    link.setblocking(False)
    rest, sent = memoryview(request * REQUESTS), 0
    while sent < len(rest) and select.select([], [link], [], STUCK_AFTER)[1]:
        try:
            sent += link.send(rest[sent : sent + 65_536])
        except BlockingIOError:
            continue
        except ConnectionError:
            break
    return sent


def statuses(link: socket.socket, requests: int) -> Iterator[int]:
    """Read the answers to requests that were sent, in order."""
    link.settimeout(30.0)
    data, read = b"", 0
    while read < requests:
        data += link.recv(1_000_000)
        while found := re.match(rb"HTTP/1.1 (\d+) [^\r]*\r\n(?:.*\r\n)*?\r\n", data):
            length = re.search(rb"(?i)content-length: (\d+)", found[0])
            end = found.end() + (int(length[1]) if length else 0)
            if len(data) < end:
                break
            data, read = data[end:], read + 1
            yield int(found[1])


@pytest.mark.parametrize("kind", SENT)
async def test_answers_that_are_not_read_cost_the_gateway_little(
    edge: GatewayProcess, kind: str, figures: Figures
) -> None:
    assert (await asyncio.to_thread(edge.post, "/site/small")).status == 200
    before = edge.fresh_peak_kib()
    links = [connected(edge) for _ in range(CLIENTS)]
    try:
        sent = await asyncio.gather(*(asyncio.to_thread(pipelined, link, SENT[kind]) for link in links))
        assert (await asyncio.to_thread(edge.post, "/site/small")).status == 200
        if kind == "calls":  # small answers fill the connections of many minutes
            await done(edge)
        grown = edge.peak_kib - before
    finally:
        for link in links:
            link.close()
    requests = sum(sent) // len(SENT[kind])
    figures(45, f"{kind}: {CLIENTS} clients read no answer to {requests:,} requests, {grown:,} KiB more memory")
    assert grown < ROOM
    assert (await asyncio.to_thread(edge.post, "/site/small")).status == 200


@pytest.mark.parametrize("kind", ["probes", "calls"])
async def test_a_client_that_reads_late_gets_every_answer(edge: GatewayProcess, kind: str, figures: Figures) -> None:
    with connected(edge) as link:
        sent = await asyncio.to_thread(pipelined, link, SENT[kind])
        whole = sent // len(SENT[kind])
        found = await asyncio.to_thread(lambda: list(statuses(link, whole)))
    figures(45, f"{kind}: {len(found):,} answers to a client that read late")
    assert found == [200] * whole
