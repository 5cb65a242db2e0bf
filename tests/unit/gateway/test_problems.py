from __future__ import annotations

import json
from typing import Any

import pytest

from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    NoWorkers,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBusError,
    ServiceError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from servicebus.gateway.problems import TABLE, response_to
from servicebus.gateway.refusals import (
    HeadersTooLarge,
    MethodNotAllowed,
    NotExposed,
    Refused,
    RequestTimeout,
    UnsupportedMediaType,
)

from ...support.shop import SoldOut

CHANNEL = "vault.request"

RESURRECTED = RemoteError("overloaded", "its queue is standing at redis://vault")
RESURRECTED.executed = "maybe"

ROWS: list[tuple[Exception, int, str, str, bool]] = [
    (InvalidRequest("expected `int`", "$.units"), 400, "invalid_request", "no", False),
    (Unauthorized("open", "not you"), 403, "unauthorized", "no", False),
    (NotExposed(), 404, "unknown_operation", "no", False),
    (UnknownOperation("open", ("secret",)), 404, "unknown_operation", "no", False),  # as what is not exposed
    (MethodNotAllowed("POST"), 405, "method_not_allowed", "no", False),
    (RequestTimeout(), 408, "request_timeout", "no", False),
    (MessageTooLarge(9, 8), 413, "message_too_large", "no", False),
    (UnsupportedMediaType("say JSON"), 415, "unsupported_media_type", "no", False),
    (SoldOut(sku="A", available=3), 422, "sold_out", "yes", False),
    (RemoteError("no_workers", "of a handler's own"), 422, "no_workers", "yes", False),
    (HeadersTooLarge(), 431, "headers_too_large", "no", False),
    (RemoteError("internal", "no server at redis://vault"), 500, "internal", "yes", False),
    (ConfigurationError("vault"), 500, "gateway_failed", "no", False),
    (ZeroDivisionError("vault"), 500, "gateway_failed", "maybe", False),
    (RemoteError("reply_not_encodable"), 502, "reply_not_encodable", "yes", False),
    (RemoteError("reply_too_large"), 502, "reply_too_large", "yes", False),
    (RemoteError("reply_invalid"), 502, "reply_invalid", "yes", False),
    (RESURRECTED, 502, "refused", "maybe", False),
    (SendUnknown(CHANNEL), 502, "send_unknown", "maybe", False),
    (WorkerLost(CHANNEL), 502, "worker_lost", "maybe", False),
    (NoWorkers(CHANNEL), 503, "no_workers", "no", True),
    (ChannelFull(CHANNEL, 7), 503, "channel_full", "no", True),
    (Overloaded(CHANNEL, "its queue is standing"), 503, "overloaded", "no", True),
    (Unavailable("no server at redis://vault"), 503, "unavailable", "no", True),
    (Unavailable("closing", retryable=False), 503, "unavailable", "no", False),
    (DeadlineExceeded(CHANNEL, "open", "queued"), 504, "deadline_exceeded", "no", False),
    (DeadlineExceeded(CHANNEL, "open", "dispatched"), 504, "deadline_exceeded", "maybe", False),
]


def problem(error: Exception) -> Any:
    return json.loads(response_to(error).body)


@pytest.mark.parametrize(("error", "status", "code", "executed", "retryable"), ROWS, ids=lambda value: str(value)[:40])
def test_an_error_has_its_status_code_and_fate(
    error: Exception, status: int, code: str, executed: str, retryable: bool
) -> None:
    response = response_to(error)
    told = json.loads(response.body)
    assert (response.status, told["status"], told["code"]) == (status, status, code)
    assert (told["executed"], told["retryable"]) == (executed, retryable)
    assert told["title"]
    assert told["detail"]
    assert (b"content-type", b"application/problem+json") in response.headers
    assert ((b"retry-after", b"1") in response.headers) is retryable


@pytest.mark.parametrize("error", [row[0] for row in ROWS], ids=lambda error: str(error)[:40])
def test_no_answer_shows_the_inside(error: Exception) -> None:
    told = response_to(error).body
    for secret in (b"vault", b"redis:", b"secret", b"Traceback", b"servicebus worker"):
        assert secret not in told


def test_every_error_of_the_bus_has_a_row() -> None:
    kinds = {*ServiceBusError.__subclasses__(), *Refused.__subclasses__()}
    elsewhere = {ConfigurationError, RemoteError, Refused, ServiceError}
    ours = {kind for kind in kinds if kind.__module__.startswith(("servicebus.errors", "servicebus.gateway"))}
    assert ours - elsewhere == set(TABLE)
    assert {type(row[0]) for row in ROWS} >= set(TABLE)


def test_503_means_that_nothing_has_run() -> None:
    assert {row[3] for row in ROWS if row[1] == 503} == {"no"}


def test_422_means_that_a_handler_has_run() -> None:
    assert {row[3] for row in ROWS if row[1] == 422} == {"yes"}


def test_an_error_adds_its_own_members() -> None:
    assert problem(InvalidRequest("expected `int`", "$.units"))["field"] == "$.units"
    assert problem(InvalidRequest("expected `int`", "$.units"))["detail"] == "expected `int`"
    assert problem(Unauthorized("open", "not you"))["detail"] == "not you"
    assert problem(DeadlineExceeded(CHANNEL, "open", "queued"))["stage"] == "queued"
    assert problem(MessageTooLarge(9, 8))["limit"] == 8
    assert problem(SoldOut(sku="A", available=3))["details"] == {"sku": "A", "available": 3}
    assert "details" not in problem(RemoteError("internal", "", {"password": "x"}))
    assert (b"allow", b"POST") in response_to(MethodNotAllowed("POST")).headers


def test_details_that_cannot_be_written_as_json_are_left_out() -> None:
    told = problem(RemoteError("odd", "odd details", {(1, 2): object()}))
    assert told["code"] == "odd"
    assert "details" not in told


def test_control_characters_of_a_service_stay_within_the_json() -> None:
    response = response_to(RemoteError("odd\r\nset-cookie: a=b", "line\r\nline"))
    assert b"\r" not in response.body
    assert b"\n" not in response.body
    assert all(b"\r" not in value and b"\n" not in value for _, value in response.headers)
