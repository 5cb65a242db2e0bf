"""Text that others wrote, in logs and errors: it stays one line, and no password is in it."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from servicebus import ServiceBus, ServiceBusError, Unavailable
from servicebus.foundation.repeated_log import AT_ONCE, EVERY
from servicebus.foundation.text import CONTROL
from servicebus.layers.redis.topology.address import Address
from servicebus.testing.servers import Server

from ...support.faults import hostile
from ...support.faults.hostile import MARK, NASTY
from ...support.faults.record import Figures
from ...support.processes import Worker, environment, servicebus
from ...support.shop import served_again
from ...support.timing import LONG, eventually, eventually_sync

CHANNEL = "hostile.request"
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) (servicebus|tests)\.[\w.]+: ")
SECRET = "S3CRET"
FAR = 2**62


def message(**changes: Any) -> dict[str, Any]:
    found = {"type": "say", "body": {}, "deadline": FAR, "correlation_id": "abc", "headers": {"a": "b"}, "caller": "me"}
    return found | changes


def requests() -> list[bytes]:
    """One frame for each field that a request has, with the worst that can be written there, and some more."""
    texts = {"text": NASTY, "forbidden": NASTY, NASTY: NASTY}
    messages = [
        *(message(**{field: NASTY}) for field in ("type", "reply_channel", "correlation_id", "caller", "deadline")),
        *(message(**{field: NASTY, "type": "unknown"}) for field in ("correlation_id", "caller", "body")),
        *(message(headers={"a": NASTY}), message(headers={NASTY: "b"}), message(**{NASTY: NASTY})),
        *(message(reply_channel=f"response.me.abc!{end}") for end in ("1", NASTY)),
        *(message(type="fail", body=body) for body in (NASTY, {"text": NASTY}, {"wrong": NASTY})),
        *(message(type=type, body={"text": NASTY}) for type in ("log", "break")),
        *(message(type="say", body=texts), message(type="colour", body={"type": "colour", "colour": NASTY})),
        *(message(type="colour", body={NASTY: 1}), message(type="colour", body={"type": NASTY})),
    ]
    odd = [[0, FAR, NASTY, message()], [0, FAR, "", NASTY], [0, NASTY, "", message()], NASTY, {NASTY: NASTY}]
    return [*(msgpack.packb([0, FAR, "", one]) for one in messages), *(msgpack.packb(frame) for frame in odd)]


def few_at_a_time() -> Iterator[list[bytes]]:
    """The requests, so few at a time that each of their lines is logged, and none only counted."""
    frames = requests()
    for at in range(0, len(frames), AT_ONCE):
        yield frames[at : at + AT_ONCE]


def assert_clean(text: str) -> None:
    assert not CONTROL.search(text), ascii(text)


def assert_clean_log(text: str) -> None:
    """Every line is a record, or belongs to a traceback, and says so."""
    for line in text.removesuffix("\n").split("\n"):
        assert_clean(line)
        assert RECORD.match(line) or line.startswith("    "), ascii(line)


@pytest.fixture
def worker(tmp_path: Path, server: Server) -> Iterator[Worker]:
    """In a process of its own, whose log is that of the command line."""
    started = Worker(tmp_path / "worker.log", "tests.support.faults.hostile", "--url", server.url)
    try:
        eventually_sync(lambda: f"serving {CHANNEL}" in started.log, within=LONG)
        yield started
    finally:
        started.process.kill()
        started.process.wait(10)


@pytest.mark.row(35)
def test_whatever_is_in_a_request_each_record_of_a_worker_is_one_line(
    server: Server, worker: Worker, figures: Figures
) -> None:
    for frames in few_at_a_time():
        server.run("RPUSH", f"asgi:{{{CHANNEL}}}", *frames)
        server.run("PEXPIRE", f"asgi:{{{CHANNEL}}}", 10_000)
        eventually_sync(lambda: not server.frames(CHANNEL))
        time.sleep(EVERY)
    worker.signal()
    assert worker.ended() == 0
    log = worker.log
    assert_clean_log(log)
    assert log.count(MARK) >= 10, "it is there, but fit to be shown"
    assert "ValueError" in log
    figures(
        35, f"{len(requests())} spoiled requests: {len(log.splitlines())} lines of log, 0 with raw control characters"
    )


@pytest.mark.row(35)
async def test_no_log_record_has_control_characters_from_a_request(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "servicebus")
    async with ServiceBus(server.url) as bus, bus.serving(hostile.service):
        for frames in few_at_a_time():
            server.run("RPUSH", f"asgi:{{{CHANNEL}}}", *frames)
            await eventually(lambda: not server.frames(CHANNEL))
            await asyncio.sleep(EVERY)
        assert await bus.call(CHANNEL, {"type": "log", "text": "fine"}) == "logged"
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("servicebus")]
    for text in ours:
        assert_clean(text)
    assert sum(MARK in text for text in ours) >= 5


@pytest.mark.row(35)
@pytest.mark.parametrize("field", ["correlation_id", "headers", "caller"])
async def test_names_that_are_not_fit_for_a_log_are_refused(server: Server, field: str) -> None:
    spoiled = {"a": NASTY} if field == "headers" else NASTY
    async with ServiceBus(server.url) as bus, bus.serving(hostile.service):
        server.register("nobody.request")
        call = asyncio.create_task(bus.call("nobody.request", {"type": "say"}))
        await eventually(lambda: len(server.frames("nobody.request")) == 1)
        frame = msgpack.unpackb(server.run("LPOP", "asgi:{nobody.request}"))
        frame[3][field] = spoiled
        server.run("RPUSH", f"asgi:{{{CHANNEL}}}", msgpack.packb(frame))
        with pytest.raises(ServiceBusError) as caught:
            await call
    assert (caught.value.executed, type(caught.value).__name__) == ("no", "InvalidRequest")
    assert_clean(str(caught.value))


@pytest.mark.row(35)
@pytest.mark.parametrize(
    "reply",
    [
        {"type": "error", "code": NASTY, "executed": "yes", "message": NASTY, "details": {NASTY: NASTY}},
        {"type": "error", "code": "hostile_broken", "executed": "yes", "message": NASTY, "details": {"how": NASTY}},
        {"type": "error", "code": "invalid_request", "executed": "no", "message": NASTY, "details": {"field": NASTY}},
        {"type": "error", "code": "unknown_operation", "executed": "no", "details": {"known": [NASTY]}},
        {"type": "error", "code": "unauthorized", "executed": "no", "message": NASTY},
        {"type": "error", "code": "overloaded", "executed": "no", "message": NASTY},
        {"type": NASTY, "body": NASTY, "executed": NASTY},
    ],
)
async def test_every_error_reply_becomes_one_line_without_control_characters(
    server: Server, caplog: pytest.LogCaptureFixture, reply: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG, "servicebus")
    server.register(CHANNEL)
    async with ServiceBus(server.url) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "say"}))
        await eventually(lambda: len(server.frames(CHANNEL)) == 1)
        start, _, rest = msgpack.unpackb(server.frames(CHANNEL)[0])[3]["reply_channel"].partition("!")
        prefix, _, process = start.rpartition(".")
        odd = [[0, FAR, NASTY, reply], [0, FAR, NASTY], [0, FAR, "+cancel", {"type": NASTY, "calls": NASTY}]]
        frames = [*odd, [0, FAR, f"{prefix}!{rest}", reply]]
        server.run("RPUSH", f"asgi:{{{process}!}}", *map(msgpack.packb, frames))
        with pytest.raises(ServiceBusError) as caught:
            await call
    assert_clean(str(caught.value))
    for record in caplog.records:
        assert_clean(record.getMessage())


UNREADABLE = [
    *(f"redis://ann:{SECRET}@127.0.0.1:port/0", f"redis://ann:{SECRET}@[::1", f"redis://ann:{SECRET}/x@127.0.0.1:1/0"),
    *(f"redis://ann:{SECRET}?x@127.0.0.1:1/0", f"redis://ann:{SECRET}#x@127.0.0.1:1/0"),
    *(f"redis://:x@{SECRET}@127.0.0.1:port", f"redis://127.0.0.1:1?password={SECRET}&db=x"),
    *(f"redis://:{SECRET}@127.0.0.1?socket_timeout={SECRET}", f"redis+cluster://:{SECRET}@127.0.0.1:1/5"),
    *(f"redis+sentinel://:{SECRET}@127.0.0.1:1", f"redis+nothing://:{SECRET}@127.0.0.1", f"nothing://:{SECRET}@x/"),
    *(f":{SECRET}@127.0.0.1:1", f"redis:ann:{SECRET}@127.0.0.1:1"),
    f"rediss://ann:{SECRET}@127.0.0.1?ssl_certfile=/nowhere&ssl_password={SECRET}",
]
UNREACHABLE = [
    *(f"{scheme}://ann:{SECRET}@127.0.0.1:{{port}}/0" for scheme in ("redis", "rediss", "redis+cluster")),
    *(f"unix://ann:{SECRET}@/nowhere/at/all.sock", f"redis://127.0.0.1:{{port}}/0?password={SECRET}"),
    f"redis+sentinel://ann:{SECRET}@127.0.0.1:{{port}}/m/0?sentinel_password={SECRET}",
]


@pytest.mark.row(35)
@pytest.mark.parametrize("url", [*UNREADABLE, *UNREACHABLE])
async def test_no_error_and_no_log_shows_the_password_of_a_url(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ServiceBusError) as caught:
        async with ServiceBus(url.format(port=unused_port())):
            pass
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert SECRET not in "\n".join(line for line in told.splitlines() if url not in line)
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.row(35)
async def test_a_password_is_in_no_log_no_error_and_no_repr(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    own_server.run("CONFIG", "SET", "requirepass", SECRET)
    url = f"unix://:{SECRET}@{own_server.path}"
    with pytest.raises(Unavailable, match="WRONGPASS") as caught:
        async with ServiceBus(url.replace(SECRET, SECRET * 2)):
            pass
    async with ServiceBus(url) as bus, bus.serving(hostile.service):
        own_server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        own_server.run("ACL", "SETUSER", "default", f"<{SECRET}", ">another")
        await eventually(lambda: "lost, reconnecting" in caplog.text)
        with pytest.raises(ServiceBusError) as refused:
            await bus.call(CHANNEL, {"type": "say"}, timeout=0.5)
        own_server.run("ACL", "SETUSER", "default", f">{SECRET}")
        await served_again(bus, CHANNEL, {"type": "say"})
    shown = [str(caught.value), repr(caught.value), str(refused.value), repr(bus), repr(Address.from_url(url))]
    assert SECRET not in caplog.text + "".join(shown)


@pytest.mark.row(35)
def test_no_worker_says_the_password_of_the_server_that_it_waits_for(tmp_path: Path) -> None:
    url = f"redis://ann:{SECRET}@127.0.0.1:{unused_port()}/0"
    waiting = Worker(tmp_path / "worker.log", "tests.support.workshop", "--url", url)
    eventually_sync(lambda: "the worker waits for it" in waiting.log, within=LONG)
    waiting.signal()
    assert waiting.ended() == 0
    assert "127.0.0.1" in waiting.log
    assert SECRET not in waiting.log


@pytest.mark.row(35)
@pytest.mark.parametrize("command", [["call", "shop.request", "{}"], ["health", "shop.request"]])
def test_no_command_says_the_password_of_its_url(command: list[str]) -> None:
    done = servicebus(*command, SERVICEBUS_URL=f"redis://ann:{SECRET}@127.0.0.1:{unused_port()}/0")
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.row(35)
def test_no_command_line_of_a_worker_shows_the_password(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor was told by the environment, and so are its children."""
    own_server.run("CONFIG", "SET", "requirepass", SECRET)
    monkeypatch.setattr(
        "tests.support.processes.environment", lambda: environment(SERVICEBUS_URL=f"unix://:{SECRET}@{own_server.path}")
    )
    supervisor = Worker(tmp_path / "worker.log", "tests.support.faults.hostile", "--processes", "2")
    try:
        eventually_sync(lambda: supervisor.log.count(f"serving {CHANNEL}") == 2, within=LONG)
        children = supervisor.children
        shown = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
        assert len(children) == 2
    finally:
        supervisor.signal()
        assert supervisor.ended() == 0
    assert SECRET.encode() not in b"".join(shown)
    assert SECRET not in supervisor.log


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
