"""The application on a real bus, under a server that is the test."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Any

import pytest

from servicebus import ServiceBus
from servicebus.gateway import Gateway

from ...support.gateway_client import (
    JSON,
    Exchange,
    begin,
    get,
    post,
)
from ...support.gateway_desk import Desk
from ...support.timing import eventually


async def test_a_call_is_answered_with_its_reply(app: Gateway) -> None:
    body = {"order_id": "o-1", "lines": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 3}]}
    answer = await post(app, "/shop/reserve", json.dumps(body).encode())
    assert (answer.status, answer.json) == (200, {"order_id": "o-1", "units": 5})
    assert answer.headers[b"content-type"] == b"application/json"


async def test_a_field_that_is_wrong_is_named(app: Gateway) -> None:
    answer = await post(app, "/shop/reserve", b'{"order_id": "o-1", "lines": [{"sku": "A", "quantity": "two"}]}')
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.json["field"] == "$.lines[0].quantity"


async def test_values_that_json_lacks_are_sent_as_text(app: Gateway) -> None:
    answer = await post(app, "/shop/odd")
    assert answer.json == {
        "bytes": "AP8=",
        "time": "2026-01-02T12:00:00Z",
        "decimal": "1.10",
        "uuid": str(uuid.UUID(int=1)),
        "big": 2**63,
    }


async def test_a_reply_that_cannot_be_written_as_json_is_a_bad_gateway(app: Gateway) -> None:
    answer = await post(app, "/shop/keys")
    assert (answer.status, answer.code, answer.json["executed"]) == (502, "reply_invalid", "yes")


async def test_an_error_of_the_contract_is_answered_with_its_details(app: Gateway) -> None:
    answer = await post(app, "/shop/closed")
    assert (answer.status, answer.code) == (422, "tests_shop_closed")
    assert (answer.json["details"], answer.json["executed"]) == ({"until": "noon"}, "yes")


async def test_what_is_not_exposed_and_what_does_not_exist_cannot_be_told_apart(bus: ServiceBus) -> None:
    app = Gateway(bus, expose=["shop.reserve", "shop.nothing"])
    answers = [await post(app, path) for path in ("/shop/echo", "/shop/nothing", "/other/echo", "/", "/shop/a\r\nb")]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1


async def test_only_post_calls(app: Gateway) -> None:
    for method in ("GET", "HEAD", "PUT", "OPTIONS", "BREW"):
        answer = await get(app, "/shop/echo", method)
        assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")
    assert (await get(app, "/shop/a/b")).status == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"null", b'"x"', b"{}{}", b"\xff\xfe", b'{"a": NaN}', b'{"a": 1' + b"0" * 300 + b"}"]
    + [b'{"a": "\\ud800"}', b'{"type": "sleep"}', b'{"type":1,"type":2}'],
)
async def test_a_body_that_is_not_a_fitting_object_is_refused(app: Gateway, desk: Desk, body: bytes) -> None:
    answer = await post(app, "/shop/echo", body)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert not desk.seen


async def test_an_empty_body_is_named_as_the_reason(app: Gateway) -> None:
    assert (await post(app, "/shop/echo", b"")).json["detail"].startswith("the body is empty")


async def test_a_body_that_is_nested_too_deep_is_refused(bus: ServiceBus) -> None:
    answer = await post(Gateway(bus, expose=["shop"]), "/shop/echo", b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_the_operation_is_in_the_path_alone(app: Gateway) -> None:
    answer = await post(app, "/shop/echo", b'{"type": "sleep"}')
    assert (answer.status, answer.json["field"]) == (400, "$.type")


async def test_forms_are_not_taken(app: Gateway) -> None:
    exchange = Exchange(app, "POST", "/shop/echo", [(b"content-type", b"application/x-www-form-urlencoded")])
    exchange.feed(b"a=1")
    assert (await exchange.answer()).status == 415


async def test_a_correlation_id_goes_in_and_comes_back(app: Gateway, desk: Desk) -> None:
    answer = await post(app, "/shop/echo", b"{}", (b"x-correlation-id", b"abc-1"))
    assert answer.headers[b"x-correlation-id"] == b"abc-1"
    assert desk.seen[-1].correlation_id == "abc-1"
    answer = await post(app, "/shop/echo")
    assert answer.headers[b"x-correlation-id"].decode() == desk.seen[-1].correlation_id


async def test_a_bad_correlation_id_is_refused_and_does_not_come_back(app: Gateway, desk: Desk) -> None:
    answer = await post(app, "/shop/echo", b"{}", (b"x-correlation-id", b"a\r\nset-cookie: b"))
    assert (answer.status, answer.json["field"]) == (400, "headers.x-correlation-id")
    assert answer.headers[b"x-correlation-id"].isalnum()
    assert not desk.seen


async def test_outsiders_set_no_headers_of_the_bus_but_those_named(app: Gateway, desk: Desk) -> None:
    sent = [(b"x-tenant", b"t1"), (b"flag-known", b"true"), (b"flag-new-pricing", b"true"), (b"x-other", b"o")]
    assert (await post(app, "/shop/echo", b"{}", *sent)).status == 200
    context = desk.seen[-1]
    assert dict(context.headers) == {"x-tenant": "t1", "flag-known": "true"}
    assert (context.flag("known"), context.flag("new-pricing")) == (True, False)


async def test_headers_that_are_too_much_for_the_bus_are_refused(app: Gateway) -> None:
    answer = await post(app, "/shop/echo", b"{}", (b"x-tenant", b"x" * 9000))
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_client_may_say_how_long_it_waits(app: Gateway) -> None:
    answer = await post(app, "/shop/sleep", b"{}", (b"x-request-timeout", b"0.1"))
    assert (answer.status, answer.code, answer.json["stage"]) == (504, "deadline_exceeded", "dispatched")


async def test_a_service_without_workers_is_unavailable(bus: ServiceBus) -> None:
    answer = await post(Gateway(bus, expose=["other"]), "/other/echo")
    assert (answer.status, answer.code, answer.json["executed"]) == (503, "no_workers", "no")
    assert answer.headers[b"retry-after"] == b"1"


async def test_a_body_is_refused_as_soon_as_it_is_too_large(app: Gateway) -> None:
    exchange = begin(app, "/shop/echo")
    for _ in range(10):
        exchange.feed(b"x" * 400, more=True)
    answer = await exchange.answer()
    assert (answer.status, answer.code, answer.json["limit"]) == (413, "message_too_large", 1000)
    assert exchange.chunks_read == 3


async def test_a_body_that_says_it_is_too_large_is_not_read(app: Gateway) -> None:
    exchange = begin(app, "/shop/echo", (b"content-length", b"10000000"))
    exchange.feed(b"{}")
    assert (await exchange.answer()).status == 413
    assert exchange.chunks_read == 0


async def test_a_body_that_does_not_come_is_not_waited_for(app: Gateway) -> None:
    exchange = begin(app, "/shop/echo")
    exchange.feed(b"{", more=True)
    answer = await exchange.answer()
    assert (answer.status, answer.code) == (408, "request_timeout")


async def test_a_client_that_goes_before_its_body_is_there_gets_nothing(app: Gateway) -> None:
    exchange = begin(app, "/shop/echo")
    exchange.feed(b"{", more=True)
    exchange.disconnect()
    await exchange.task
    assert exchange.sent == []


async def test_the_handler_of_a_client_that_goes_away_is_cancelled(app: Gateway, bus: ServiceBus, desk: Desk) -> None:
    exchange = begin(app, "/shop/sleep")
    exchange.feed(b"{}")
    await eventually(lambda: desk.started == 1)
    exchange.disconnect()
    await exchange.task
    assert exchange.sent == []
    await eventually(lambda: desk.cancelled == 1)
    assert bus.pending == 0


async def test_the_queued_call_of_a_client_that_goes_away_never_starts(
    app: Gateway, bus: ServiceBus, desk: Desk
) -> None:
    exchanges = [begin(app, "/shop/sleep") for _ in range(3)]  # one more than the worker takes
    for exchange in exchanges:
        exchange.feed(b"{}")
    await eventually(lambda: desk.started == 2)
    exchanges[2].disconnect()
    await exchanges[2].task
    for exchange in exchanges:
        exchange.disconnect()
    await asyncio.gather(*(exchange.task for exchange in exchanges))
    await eventually(lambda: desk.cancelled == 2)
    assert (await post(app, "/shop/echo")).status == 200
    assert desk.started == 2


async def test_a_request_that_its_server_cancels_withdraws_its_call(app: Gateway, bus: ServiceBus, desk: Desk) -> None:
    exchange = begin(app, "/shop/sleep")
    exchange.feed(b"{}")
    await eventually(lambda: desk.started == 1)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task
    await eventually(lambda: desk.cancelled == 1)
    assert bus.pending == 0


async def test_probes_are_read_only(app: Gateway) -> None:
    assert ((await get(app, "/livez", "HEAD")).status, (await get(app, "/livez")).body) == (200, b"ok\n")
    answer = await get(app, "/readyz", "POST")
    assert (answer.status, answer.headers[b"allow"]) == (405, b"GET, HEAD")


async def test_a_websocket_is_closed(app: Gateway) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/shop/echo", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_under_a_mount_the_path_begins_after_it(app: Gateway) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/api/livez", "root_path": "/api", "headers": [JSON]}
    await app(scope, receive, send)
    assert sent[0]["status"] == 200


async def test_text_from_a_client_stays_in_one_line_of_the_log(app: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "servicebus.gateway"):
        await post(app, "/shop/echo", b'{"type": "a\\r\\nb"}', (b"x-correlation-id", b"id\r\nforged"))
        await post(app, "/shop/no\r\nforged")
        await post(app, "/shop/keys")
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("servicebus.gateway")]
    assert len(messages) == 3
    assert all(message.isprintable() and "forged" not in message for message in messages)


async def test_unknown_fields_and_query_strings_are_ignored(app: Gateway) -> None:
    exchange = begin(app, "/shop/reserve", query=b"order_id=o-2")
    exchange.feed(b'{"order_id": "o-1", "lines": [], "color": "red"}')
    assert (await exchange.answer()).json == {"order_id": "o-1", "units": 0}
