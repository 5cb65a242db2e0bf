"""docs/spec.md against the code, and the wire against docs/spec.md, with the plain msgpack package alone."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import re
import time
import uuid
from decimal import Decimal
from typing import Any

import msgpack
import msgspec
import pytest

import servicebus
from servicebus import Context, DeadlineExceeded, RemoteError, Request, Service, ServiceBus
from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from servicebus.contract.service_errors import RESERVED_CODES
from servicebus.errors import LARGEST_MESSAGE, InvalidRequest, UnknownOperation
from servicebus.layers.redis.schema.keys import Keys
from servicebus.protocol import envelope, error_codes
from servicebus.testing.servers import Server

from ...support.shop import (
    CHANNEL,
    Closed,
    Line,
    Placed,
    Reserve,
    Reserved,
    calling,
)
from ...support.spec_document import SPEC, rows
from ...support.timing import MS, eventually


def word(cell: str) -> str:
    return cell.strip("`| ")


def fields(shape: Any) -> set[str]:
    return set(shape.__struct_fields__)


def test_the_frame_is_what_the_table_says() -> None:
    named = tuple(row[1] for row in rows("5. Frame"))
    assert named == envelope.OutgoingRequestFrame.__struct_fields__ == envelope.RequestFrame.__struct_fields__
    assert named[:4] == envelope.OutgoingFrame.__struct_fields__ == envelope.ReplyFrame.__struct_fields__


def test_a_request_has_the_keys_of_the_table() -> None:
    keys = {word(row[0]) for row in rows("Request, one-way message, event")}
    assert keys == fields(envelope.OutgoingRequest) == fields(envelope.IncomingRequest)


def test_a_reply_has_the_keys_of_the_table() -> None:
    keys = {word(row[0]) for row in rows("Reply")}
    assert keys == fields(envelope.OutgoingReply) | fields(envelope.OutgoingError) == fields(envelope.IncomingReply)


def test_the_codes_of_the_bus_are_those_of_the_table() -> None:
    assert {word(row[0]) for row in rows("Reply", 1)} == RESERVED_CODES


@pytest.mark.parametrize(
    "sent",
    [
        error_codes.refused(UnknownOperation("x", ("y",))),
        error_codes.refused(InvalidRequest("bad", "$.a")),
        error_codes.expired(),
        error_codes.stopped(),
        error_codes.failed(ValueError()),
    ],
    ids=lambda sent: sent.code,
)
def test_what_we_send_of_an_error_is_its_row_of_the_table(sent: envelope.OutgoingError) -> None:
    (row,) = (row for row in rows("Reply", 1) if word(row[0]) == sent.code)
    assert sent.executed == row[1]
    assert set(re.findall(r'"(\w+)":', row[2])) == set(sent.details or {})


def test_the_keys_are_those_of_the_table() -> None:
    keys, table = Keys("asgi"), [word(row[0]) for row in rows("3. Keys")]
    ours = [
        keys.messages("<channel>"),
        keys.messages("<process>!"),
        keys.workers("<channel>"),
        keys.pushed("<channel>"),
        keys.withdrawn("<channel>"),
        keys.counts("<process>!"),
        keys.counts("<channel>"),
        keys.group("<group>").replace(b"<group>", b"<group>"),
    ]
    assert table == [key.decode() for key in ours]


def test_the_limits_are_those_of_the_text() -> None:
    section = SPEC.split("## 8. Limits")[1]
    assert f"{DEFAULT_MAX_MESSAGE_SIZE:,} bytes by default" in section
    assert LARGEST_MESSAGE == 2**20
    assert "1 MiB at most" in section
    assert "At most 64 headers of 8 KiB" in section


# What we send, read by hand.


def unpacked(frame: bytes) -> list[Any]:
    found: list[Any] = msgpack.unpackb(frame, timestamp=3)
    fence, expires, local, message, *sent = found
    assert sent == [] if message["type"] in ("reply", "error") else [type(value) for value in sent] == [int]
    assert isinstance(fence, int)
    assert 0 <= fence < 2**32
    assert isinstance(expires, int)
    assert isinstance(local, str)
    assert isinstance(message["type"], str)
    return found


def server_ms(server: Server) -> int:
    seconds, micros = server.run("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def fence_of(server: Server) -> int:
    return int(server.info("server")["run_id"][:8], 16)


async def test_a_one_way_message_is_what_the_page_says(server: Server) -> None:
    async with ServiceBus(server.url, service="tests", expiry=30.0) as bus:
        with servicebus.context(correlation_id="abc", flags={"new": True, "old": False}, headers={"tenant": "t1"}):
            await bus.send(CHANNEL, {"type": "recount", "depth": 2})
        now = server_ms(server)
    (frame,) = server.frames(CHANNEL)
    fence, expires, local, message, sent = unpacked(frame)
    assert fence == fence_of(server)
    assert now - 1000 < sent <= now
    assert 29_000 < expires - now <= 30_050
    assert local == ""
    assert message == {
        "type": "recount",
        "body": {"type": "recount", "depth": 2},
        "correlation_id": "abc",
        "headers": {"tenant": "t1", "flag-new": "true", "flag-old": "false"},
        "caller": "tests",
    }
    assert 29_000 < server.run("PTTL", f"asgi:{{{CHANNEL}}}") <= 31_000


async def test_a_call_is_what_the_page_says_and_is_answered_by_hand(server: Server) -> None:
    server.register(CHANNEL)
    async with ServiceBus(server.url, service="tests") as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Reserve(order_id="o-1", lines=[Line("A", 2)]), timeout=5.0))
        await eventually(lambda: bool(server.frames(CHANNEL)))
        _, expires, local, message, _ = unpacked(server.run("LPOP", f"asgi:{{{CHANNEL}}}"))
        assert local == ""
        assert message.keys() == {"type", "body", "reply_channel", "deadline"}
        assert message["type"] == "reserve"
        assert message["body"] == {"type": "reserve", "order_id": "o-1", "lines": [{"sku": "A", "quantity": 2}]}
        assert expires == message["deadline"]
        assert 4_000 < message["deadline"] - server_ms(server) <= 5_001
        inbox, local = by_hand_route(message["reply_channel"])
        answer = [0, expires, local, {"type": "reply", "body": {"order_id": "o-1", "units": 2}}]
        server.run("RPUSH", f"asgi:{{{inbox}}}", msgpack.packb(answer))
        assert await call == Reserved("o-1", 2)


def by_hand_route(reply_channel: str) -> tuple[str, str]:
    """Section 2, read literally."""
    match = re.fullmatch(r"(response\.tests)\.([\w-]{8}[\w-]{22})!([\w-]{11})", reply_channel)
    assert match
    assert match[2].startswith(base64.urlsafe_b64encode(hashlib.sha256(b"tests").digest())[:8].decode())
    return f"{match[2]}!", f"{match[1]}!{match[3]}"


async def test_an_event_is_what_the_page_says(server: Server) -> None:
    server.run("ZADD", "asgi:group:{orders.placed}", server_ms(server) + 10_000, "by-hand.events")
    server.run("ZADD", "asgi:group:{orders.placed}", server_ms(server) - 1, "gone.events")
    server.run("PEXPIRE", "asgi:group:{orders.placed}", 10_000)
    async with ServiceBus(server.url, service="tests") as bus:
        await bus.publish("orders.placed", Placed("o-1"))
    (frame,) = server.frames("by-hand.events")
    message = unpacked(frame)[3]
    assert (message["type"], message["body"], message["caller"]) == ("orders.placed", {"order_id": "o-1"}, "tests")
    assert message["correlation_id"]
    assert "reply_channel" not in message
    assert server.frames("gone.events") == []


class Types(Request[Any]):
    price: Decimal
    identity: uuid.UUID
    at: datetime.datetime
    raw: bytes


async def test_values_are_encoded_as_the_page_says(server: Server) -> None:
    at = datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC)
    identity = uuid.uuid4()
    async with ServiceBus(server.url) as bus:
        await bus.send(CHANNEL, Types(price=Decimal("1.20"), identity=identity, at=at, raw=b"\0"))
    body = unpacked(server.frames(CHANNEL)[0])[3]["body"]
    assert body == {"type": "types", "price": "1.20", "identity": str(identity), "at": at, "raw": b"\0"}


async def test_a_worker_registers_and_leaves_as_the_page_says(server: Server) -> None:
    key = f"asgi:{{{CHANNEL}}}:workers"
    async with calling(server.url, Service("shop")):
        worker, ends = server.run("ZRANGE", key, 0, -1, "WITHSCORES")
        assert worker.startswith(b"shop-")
        assert 3_000 < int(ends) - server_ms(server) <= 5_000
        assert 3_000 < server.run("PTTL", key) <= 5_000
    assert not server.run("EXISTS", key)


# What others send, made by hand.


class ByHand:
    """A caller that knows the page and msgpack, and nothing of us."""

    def __init__(self, server: Server) -> None:
        self._server, self._process = server, uuid.uuid4().hex

    @property
    def reply_channel(self) -> str:
        return f"response.by-hand.{self._process}!c1"

    def push(self, message: dict[str, Any], fence: int = 0, ttl_ms: int = 5_000) -> None:
        frame = msgpack.packb([fence, server_ms(self._server) + ttl_ms, "", message])
        self._server.run("RPUSH", f"asgi:{{{CHANNEL}}}", frame)
        self._server.run("PEXPIRE", f"asgi:{{{CHANNEL}}}", 6_000)

    async def answer(self) -> dict[str, Any]:
        give_up = time.monotonic() + 5000 * MS
        while not (frame := self._server.run("LPOP", f"asgi:{{{self._process}!}}")):
            assert time.monotonic() < give_up, "no answer"
            await asyncio.sleep(2 * MS)
        _, _, local, message = unpacked(frame)
        assert local == "response.by-hand!c1"
        assert isinstance(message, dict)
        return message


@pytest.fixture
def by_hand(server: Server) -> ByHand:
    return ByHand(server)


def shop() -> Service:
    service = Service("shop")

    @service.handler
    async def reserve(request: Reserve, context: Context) -> Reserved:
        if request.order_id == "closed":
            raise Closed(until="noon")
        return Reserved(request.order_id, sum(line.quantity for line in request.lines))

    @service.handler("echo")
    async def echo(message: Any, context: Context) -> dict[str, Any]:
        return {"message": message, "correlation_id": context.correlation_id, "caller": context.caller}

    return service


async def test_a_request_made_by_hand_is_served_and_answered(server: Server, by_hand: ByHand) -> None:
    async with calling(server.url, shop()):
        body = {"order_id": "o-1", "lines": [{"sku": "A", "quantity": 2}], "type": "reserve"}
        by_hand.push({"type": "reserve", "body": body, "reply_channel": by_hand.reply_channel})
        assert await by_hand.answer() == {"type": "reply", "body": {"order_id": "o-1", "units": 2}}


async def test_what_is_answered_at_one_instant_may_be_a_bundle(server: Server) -> None:
    now = server_ms(server)
    requests = [
        [0, now + 5_000, "", {"type": "echo", "body": n, "reply_channel": f"response.by-hand.4f2a!c{n}"}]
        for n in range(30)
    ]
    async with calling(server.url, shop()):
        server.run("RPUSH", f"asgi:{{{CHANNEL}}}", *map(msgpack.packb, requests))
        frames: list[bytes] = []
        give_up = time.monotonic() + 5000 * MS
        while len(frames) < len(requests):
            assert time.monotonic() < give_up, f"{len(frames)} answers"
            await asyncio.sleep(2 * MS)
            if element := server.run("LPOP", "asgi:{4f2a!}"):
                frames += msgpack.unpackb(element)[0] if element.startswith(b"\x91") else [element]
    replies = [unpacked(frame) for frame in frames]
    assert [local for _, _, local, _ in replies] == [f"response.by-hand!c{n}" for n in range(30)]
    assert [message["body"]["message"] for _, _, _, message in replies] == [*range(30)]


async def test_a_flat_message_is_its_own_argument(server: Server, by_hand: ByHand) -> None:
    async with calling(server.url, shop()):
        lines = [{"sku": "A", "quantity": 2}]
        flat = {"type": "reserve", "order_id": "o-1", "lines": lines, "reply_channel": by_hand.reply_channel}
        by_hand.push(flat)
        assert (await by_hand.answer())["body"] == {"order_id": "o-1", "units": 2}


async def test_what_a_message_does_not_say_is_read_from_its_reply_channel(server: Server, by_hand: ByHand) -> None:
    async with calling(server.url, shop()):
        by_hand.push({"type": "echo", "body": 7, "reply_channel": by_hand.reply_channel})
        assert (await by_hand.answer())["body"] == {"message": 7, "correlation_id": "c1", "caller": "by-hand"}


async def test_errors_are_answered_as_the_page_says(server: Server, by_hand: ByHand) -> None:
    async with calling(server.url, shop()):
        by_hand.push({"type": "reserve", "order_id": "closed", "lines": [], "reply_channel": by_hand.reply_channel})
        declared = await by_hand.answer()
        assert declared.pop("message")
        assert declared == {
            "type": "error",
            "code": "tests_shop_closed",
            "executed": "yes",
            "details": {"until": "noon"},
        }
        by_hand.push({"type": "nothing", "reply_channel": by_hand.reply_channel})
        assert (await by_hand.answer())["code"] == "unknown_operation"


async def test_a_frame_of_another_primary_is_dropped_and_counted(server: Server, by_hand: ByHand) -> None:
    service = shop()
    async with ServiceBus(server.url) as bus, bus.serving(service):
        other = fence_of(server) ^ 1
        by_hand.push({"type": "echo", "body": 1, "reply_channel": by_hand.reply_channel}, fence=other)
        by_hand.push({"type": "echo", "body": 2, "reply_channel": by_hand.reply_channel}, fence=fence_of(server))
        assert (await by_hand.answer())["body"]["message"] == 2
        assert bus.counters.fenced_frames == 1


async def test_a_worker_that_is_to_keep_what_another_primary_took_handles_it(server: Server, by_hand: ByHand) -> None:
    async with ServiceBus(server.url, on_failover="keep") as bus, bus.serving(shop()):
        by_hand.push({"type": "echo", "body": 1, "reply_channel": by_hand.reply_channel}, fence=fence_of(server) ^ 1)
        assert (await by_hand.answer())["body"]["message"] == 1
        assert bus.counters.fenced_frames == 0


async def test_a_frame_that_does_not_decode_is_dropped_and_counted(server: Server, by_hand: ByHand) -> None:
    junk = [b"", b"\xc1", b"\x94\x00", msgpack.packb([0, 1, ""]), msgpack.packb([0, 0, "", {"body": 1}]), b"x" * 70_000]
    server.run("RPUSH", f"asgi:{{{CHANNEL}}}", *junk)
    by_hand.push({"type": "echo", "body": 1, "reply_channel": by_hand.reply_channel})
    async with ServiceBus(server.url) as bus, bus.serving(shop()):
        assert (await by_hand.answer())["body"]["message"] == 1
        assert bus.counters.rejected_frames == len(junk)


async def test_an_expired_frame_is_answered_and_not_started(server: Server, by_hand: ByHand) -> None:
    async with ServiceBus(server.url) as bus, bus.serving(shop()):
        by_hand.push({"type": "echo", "body": 1, "reply_channel": by_hand.reply_channel}, ttl_ms=-50)
        answer = await by_hand.answer()
        assert (answer["code"], answer["executed"]) == ("deadline_exceeded", "no")
        assert bus.counters.expired_messages == 1


@pytest.mark.parametrize("reply_channel", ["not a name", "x" * 100, "response.x.y!a!b", "asgi:{x}"])
async def test_a_reply_channel_that_is_no_channel_name_gets_no_reply(
    server: Server, by_hand: ByHand, reply_channel: str
) -> None:
    async with ServiceBus(server.url) as bus, bus.serving(shop()):
        by_hand.push({"type": "echo", "body": 1, "reply_channel": reply_channel})
        await eventually(lambda: bus.counters.rejected_frames == 1)
    assert server.all_keys() == []


async def test_a_call_that_nobody_answers_is_withdrawn_from_the_list(server: Server) -> None:
    server.register(CHANNEL)
    async with ServiceBus(server.url) as bus:
        with pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, {"type": "echo"}, timeout=30 * MS)
    assert (caught.value.stage, caught.value.executed) == ("queued", "no")
    assert server.frames(CHANNEL) == []


async def test_an_error_by_hand_reaches_the_caller(server: Server) -> None:
    server.register(CHANNEL)
    async with ServiceBus(server.url, service="tests") as bus:
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "echo"}))
        await eventually(lambda: bool(server.frames(CHANNEL)))
        message = unpacked(server.run("LPOP", f"asgi:{{{CHANNEL}}}"))[3]
        inbox, local = by_hand_route(message["reply_channel"])
        error = {"type": "error", "code": "teapot", "executed": "yes", "message": "short and stout", "details": [1]}
        server.run("RPUSH", f"asgi:{{{inbox}}}", msgpack.packb([0, 0, local, error]))
        with pytest.raises(RemoteError) as caught:
            await call
    assert (caught.value.code, caught.value.message, caught.value.details) == ("teapot", "short and stout", [1])


def test_msgspec_and_msgpack_read_each_other() -> None:
    values: list[Any] = [None, True, 1.5, "x", b"y", [1], {"a": {"b": []}}, 2**64 - 1, -(2**63)]
    assert msgpack.unpackb(msgspec.msgpack.encode(values)) == values
    assert msgspec.msgpack.decode(msgpack.packb(values)) == values
