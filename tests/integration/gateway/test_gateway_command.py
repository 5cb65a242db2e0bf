"""``servicebus gateway`` as a process: daphne within bounds, and its end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server

from ...support import workshop
from ...support.keys import KEYS, content
from ...support.processes import (
    ROOT,
    environment,
    servicebus,
    worker,
)
from ...support.running_gateway import (
    READY,
    GatewayProcess,
    Reply,
    gateway,
    posting,
    read_reply,
    received,
)
from ...support.timing import eventually_sync

EXPOSE = ("--expose", "workshop")


@pytest.fixture
def edge(server: Server, tmp_path: Path) -> Iterator[GatewayProcess]:
    with worker(tmp_path, server.url), gateway(tmp_path, server.url, *EXPOSE, "--body-within", "0.5") as started:
        yield started


def test_requests_on_one_connection_are_answered_in_order(edge: GatewayProcess) -> None:
    with edge.connect() as link:
        for number in range(3):
            link.sendall(posting("/workshop/echo", b'{"n": %d}' % number, b"x-correlation-id: c-%d\r\n" % number))
            reply = read_reply(link)
            assert (reply.status, reply.json["n"], reply.json["caller"]) == (200, number, "gateway")
            assert f"X-Correlation-Id: c-{number}\r\n" in reply.head


@pytest.mark.parametrize(
    "value", ["close", "Close", "close, x", "x,close", "keep-alive , CLOSE", "x\r\nconnection: close"]
)
def test_a_connection_that_the_client_wants_closed_is_closed(edge: GatewayProcess, value: str) -> None:
    with edge.connect() as link:
        link.sendall(posting("/workshop/echo", b"{}", f"connection: {value}\r\n".encode()))
        reply = read_reply(link)
        assert reply.status == 200
        assert "connection: close" in reply.head.lower()
        assert link.recv(1) == b""


@pytest.mark.parametrize("value", ["keep-alive", "closed", "x, y"])
def test_a_connection_goes_on_unless_the_client_wants_it_closed(edge: GatewayProcess, value: str) -> None:
    with edge.connect() as link:
        for _ in range(2):
            link.sendall(posting("/workshop/echo", b"{}", f"connection: {value}\r\n".encode()))
            assert read_reply(link).status == 200


def test_of_pipelined_requests_the_last_one_must_come_in_time_too(edge: GatewayProcess) -> None:
    whole = posting("/workshop/wait", b'{"seconds": 0.7}')
    with edge.connect() as link:
        link.sendall(whole + posting("/workshop/echo")[:-1])
        assert read_reply(link).status == 200
        answered = time.monotonic()
        assert read_reply(link).status == 408
        assert time.monotonic() - answered > 0.4


def test_a_status_that_twisted_has_no_name_for_has_one(edge: GatewayProcess) -> None:
    reply = edge.post("/workshop/closed")
    assert reply.head.startswith("HTTP/1.1 422 Unprocessable")
    assert reply.json["details"] == {"until": "noon"}
    assert "daphne" not in reply.head.lower()


def test_probes_answer(edge: GatewayProcess) -> None:
    for path in ("/livez", "/readyz"):
        assert edge.ask(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode()).body == b"ok\n"


def test_it_signs_and_finds_its_workers_under_their_prefix(server: Server, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.touch(0o600)
    keys.write_bytes(content(KEYS))
    options = ("--prefix", "edge", "--keys", str(keys))
    with worker(tmp_path, server.url, *options), gateway(tmp_path, server.url, *EXPOSE, *options) as edge:
        assert edge.post("/workshop/echo").status == 200
    with worker(tmp_path, server.url, *options), gateway(tmp_path, server.url, *EXPOSE, "--prefix", "edge") as edge:
        assert edge.post("/workshop/echo", head=b"x-request-timeout: 0.2\r\n").status == 504


def test_connections_are_bounded(server: Server, tmp_path: Path) -> None:
    with gateway(tmp_path, server.url, *EXPOSE, "--max-requests", "1") as edge:
        idle = [edge.connect() for _ in range(4)]
        with edge.connect() as link:
            refused = read_reply(link)
        assert (refused.status, refused.json["code"], refused.json["executed"]) == (503, "overloaded", "no")
        assert "retry-after: 1" in refused.head
        for link in idle:
            link.close()
        eventually_sync(lambda: edge.post("/workshop/echo").json["code"] == "no_workers")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_are_answered_after_sigterm(edge: GatewayProcess, number: int) -> None:
    with edge.connect() as link, edge.connect() as idle:
        link.sendall(posting("/workshop/wait", b'{"seconds": 1}'))
        eventually_sync(lambda: edge.ask(b"GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n").status == 200)
        time.sleep(0.3)
        edge.process.send_signal(number)
        eventually_sync(lambda: "draining" in edge.log)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(idle.getpeername(), timeout=5)
        idle.sendall(posting("/workshop/echo"))
        assert read_reply(idle).json["code"] == "unavailable"
        reply = read_reply(link)
        assert (reply.status, reply.json) == (200, 1)
    assert edge.process.wait(10) == 0
    assert edge.log.endswith("stopped\n")
    assert "Traceback" not in edge.log


def test_a_request_that_is_not_there_yet_does_not_hold_up_the_end(server: Server, tmp_path: Path) -> None:
    with worker(tmp_path, server.url), gateway(tmp_path, server.url, *EXPOSE) as edge:
        with edge.connect() as link:
            link.sendall(b"POST /workshop/echo HTTP/1.1\r\n")
            began = time.monotonic()
            assert edge.ended() == 0
            assert time.monotonic() - began < 5
            with pytest.raises(AssertionError, match="closed"):
                received(link)


def test_a_probe_that_waits_for_its_server_does_not_delay_the_end(own_server: Server, tmp_path: Path) -> None:
    with gateway(tmp_path, own_server.url, *EXPOSE) as edge, edge.connect() as link:
        with own_server.standing_still():
            link.sendall(b"GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n")
            time.sleep(0.2)
            assert edge.ended() == 0
        assert edge.log.endswith("stopped\n")
        assert "pending" not in edge.log


STUCK = """
import asyncio, logging, os, signal, sys
from servicebus.gateway import Gateway
from servicebus.gateway.server import Address, serve


class Stuck(Gateway):
    async def __call__(self, scope, receive, send):
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(60)
        finally:
            print("cancelled")

    async def drain(self, within):
        await asyncio.sleep(0)


logging.basicConfig(level=logging.INFO, stream=sys.stdout)
serve(Stuck("memory://", expose=["shop"]), Address("127.0.0.1", 0), "nothing")
"""


def test_what_outlasts_the_drain_is_cancelled() -> None:
    command = [sys.executable, "-u", "-c", STUCK]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = READY.search(process.stdout.readline())
        assert found is not None
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=5) as link:
            link.sendall(posting("/shop/stuck"))
            said, _ = process.communicate(timeout=10)
    assert "cancelled\n" in said
    assert process.returncode == 0


def test_a_body_stays_off_the_disk(edge: GatewayProcess) -> None:
    with edge.connect() as link:
        link.sendall(posting("/workshop/echo"))
        assert read_reply(link).status == 200
        before = edge.files
        link.sendall(
            posting("/workshop/echo", b"1\r\n{\r\n").replace(b"content-length: 6", b"transfer-encoding: chunked")
        )
        time.sleep(0.2)
        assert edge.files == before
        assert read_reply(link).status == 408


def test_a_second_signal_ends_the_gateway_at_once(edge: GatewayProcess) -> None:
    with edge.connect() as link:
        link.sendall(posting("/workshop/wait", b'{"seconds": 4}'))
        time.sleep(0.3)
        edge.process.send_signal(signal.SIGTERM)
        eventually_sync(lambda: "draining" in edge.log)
        edge.process.send_signal(signal.SIGTERM)
        assert edge.process.wait(3) == 128 + signal.SIGTERM


def test_a_port_that_is_taken_is_named(edge: GatewayProcess, server: Server) -> None:
    ended = servicebus("gateway", *EXPOSE, "--url", server.url, "--port", str(edge.port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{edge.port}" in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_a_gateway_starts_while_its_server_is_away(own_server: Server, tmp_path: Path) -> None:
    url = own_server.url
    own_server.kill()
    with gateway(tmp_path, url, *EXPOSE) as edge:
        assert "until it is there" in edge.log
        refused = await asyncio.to_thread(edge.post, "/workshop/pid")
        assert (refused.status, refused.json["executed"]) == (503, "no")
        await own_server.restart()
        async with ServiceBus(url) as bus, bus.serving(workshop.service):
            replies = list[Reply]()
            while not replies or replies[-1].status != 200:
                replies.append(await asyncio.to_thread(edge.post, "/workshop/pid"))
                assert len(replies) < 100
        assert await asyncio.to_thread(edge.ended) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--expose", "workshop", "--url", "memory://"], "ends with this process"),
        (["--expose", "work shop", "--url", "redis://h"], "--expose has 'work shop' in it"),
        (["--expose", "workshop", "--url", "redis://h", "--forward", "X-Tenant"], "--forward has 'X-Tenant' in it"),
        (["--expose", "workshop", "--url", "redis://h", "--max-body", "2000000"], "gateway: --max-body is 2000000"),
    ],
)
def test_what_cannot_be_served_is_reported_in_one_line(arguments: list[str], complaint: str) -> None:
    ended = servicebus("gateway", *arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith("servicebus gateway: ")
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["--expose", "a", "--port", "65536"], ["--expose", "a", "--port", "x"], ["--expose", "a", "--timeout", "0"]],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    assert servicebus("gateway", *arguments).returncode == 2


def test_json_goes_through_as_it_is(edge: GatewayProcess) -> None:
    body = {"text": 'ä\u2028"\\', "numbers": [0, -1, 1.5, 2**53, None, True], "nested": {"a": {"b": []}}}
    assert edge.post("/workshop/echo", json.dumps(body).encode()).json.items() >= body.items()
