from __future__ import annotations

import pytest

from servicebus import ConfigurationError, InvalidRequest
from servicebus.gateway.headers import RequestHeaders, checked_forward
from servicebus.gateway.refusals import UnsupportedMediaType


def head(*headers: tuple[bytes, bytes]) -> RequestHeaders:
    return RequestHeaders(headers)


@pytest.mark.parametrize("given", [b"", b"a b", b"a\r\nb", b"a\x00", b"\x7f", "ä".encode(), b"\xff", b"x" * 129])
def test_a_correlation_id_that_would_spoil_a_log_is_refused(given: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        head((b"x-correlation-id", given)).correlation_id()
    assert refusal.value.field == "headers.x-correlation-id"


def test_a_correlation_id_is_the_clients_or_a_new_one() -> None:
    assert head((b"X-Correlation-ID", b" abc-1 ")).correlation_id() == "abc-1"
    assert head().correlation_id() != head().correlation_id()


@pytest.mark.parametrize(("given", "seconds"), [(b"0.25", 0.25), (b"2", 2.0), (b"5", 3.0), (b"999999999", 3.0)])
def test_a_client_may_wait_for_less_and_never_for_longer(given: bytes, seconds: float) -> None:
    assert head((b"x-request-timeout", given)).timeout(3.0) == seconds
    assert head().timeout(3.0) == 3.0


@pytest.mark.parametrize("given", [b"0", b"-1", b"nan", b"inf", b"1e3", b"1s", b"", b"0x1", b"1" * 400, b"\xb2"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(given: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        head((b"x-request-timeout", given)).timeout(3.0)
    assert refusal.value.field == "headers.x-request-timeout"


def test_what_counts_may_be_there_once() -> None:
    twice = head((b"x-request-timeout", b"1"), (b"X-Request-Timeout", b"2"))
    with pytest.raises(InvalidRequest, match="more than once"):
        twice.timeout(3.0)


def test_only_what_was_named_is_let_through_under_the_name_it_was_given() -> None:
    forward = checked_forward(["x-tenant", "idempotency-key=idempotency_key", "x-absent"])
    given = head((b"x-tenant", b"t1"), (b"Idempotency-Key", b"k"), (b"flag-new-pricing", b"true"), (b"cookie", b"a"))
    assert given.forwarded(forward) == {"x-tenant": "t1", "idempotency_key": "k"}


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\x00", b"\xc3\xa4", b"\x1b[2J"])
def test_a_value_that_is_not_plain_text_is_not_let_through(value: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        head((b"x-tenant", value)).forwarded({"x-tenant": "x-tenant"})
    assert refusal.value.field == "headers.x-tenant"


def test_two_headers_may_not_become_one() -> None:
    with pytest.raises(ConfigurationError, match="forward"):
        checked_forward(["x-tenant=tenant", "x-customer=tenant"])


@pytest.mark.parametrize(
    "given",
    [b"application/json", b"Application/JSON", b"application/json; charset=utf-8", b'application/json;charset="UTF-8"'],
)
def test_json_in_utf_8_is_taken(given: bytes) -> None:
    head((b"content-type", given), (b"content-encoding", b"identity")).check_json()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/x-www-form-urlencoded")],
        [(b"content-type", b"application/json; charset=latin-1")],
        [(b"content-type", b"application/jsonp")],
        [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")],
    ],
)
def test_what_is_not_plain_json_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(UnsupportedMediaType):
        RequestHeaders(headers).check_json()


def test_a_length_that_is_absurd_is_just_large() -> None:
    assert head((b"content-length", b"9" * 5000)).declared_length() > 1 << 40
    assert head((b"content-length", b"12")).declared_length() == 12
    assert head().declared_length() == 0
