"""Every combination of what may happen to a message on its way to a foreign layer, and what its sender is told."""

from __future__ import annotations

import pytest
from channels.exceptions import ChannelFull as ForeignChannelFull
from hypothesis import given
from hypothesis import strategies as st

from servicebus import (
    ChannelFull,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    SendUnknown,
    ServiceBusError,
    Unavailable,
)
from servicebus.layers.foreign.messages import OutgoingMessage
from servicebus.layers.foreign.outcomes import (
    UNHOLDABLE,
    closed_before,
    closed_during,
    lateness,
    no_reply_channel,
    refusal,
    reply_may_come,
    send_failure,
)

from ....support.transport import Sent


def outgoing(*, size: int = 0, expires: int = 0, deadline: int | None = None) -> OutgoingMessage:
    message = {"type": "n"} if deadline is None else {"type": "n", "deadline": deadline}
    return OutgoingMessage(Sent(b"x" * size), "shop.request", message, expires)


@given(st.booleans(), st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
def test_a_message_is_refused_when_the_bus_is_closed_or_too_much_waits(
    closed: bool, size: int, waiting: int, limit: int
) -> None:
    error = refusal(outgoing(size=size), closed=closed, waiting=waiting, limit=limit)
    expected = Unavailable if closed else Overloaded if waiting + size > limit else type(None)
    assert type(error) is expected
    assert error is None or error.executed == "no"


@given(st.integers(0, 10), st.none() | st.integers(0, 10), st.integers(0, 10))
def test_an_expired_message_is_late_and_a_deadline_names_the_reason(
    expires: int, deadline: int | None, now_ms: int
) -> None:
    error = lateness(outgoing(expires=expires, deadline=deadline), now_ms)
    if now_ms < expires:
        assert error is None
    elif deadline is not None and now_ms >= deadline:
        assert isinstance(error, DeadlineExceeded)
    else:
        assert isinstance(error, Unavailable)
    assert error is None or error.executed == "no"


FOREIGN = [error("text") for error in (*UNHOLDABLE, OSError, TimeoutError, KeyError)]


@given(st.sampled_from([*FOREIGN, ForeignChannelFull(), Overloaded("c", "busy"), SendUnknown("c", "x")]), st.booleans())
def test_a_failed_send_gives_a_typed_error_with_its_cause(error: Exception, holdable: bool) -> None:
    found = send_failure("shop.request", error, capacity_of={"shop.request": 7}.__getitem__, holdable=holdable)
    if isinstance(error, ServiceBusError):
        assert found is error
        return
    assert found.__cause__ is error
    if isinstance(error, ForeignChannelFull):
        assert isinstance(found, ChannelFull)
        assert found.capacity == 7
    elif isinstance(error, UNHOLDABLE) and not holdable:
        assert isinstance(found, InvalidRequest)
    else:
        assert isinstance(found, SendUnknown)
        assert found.executed == "maybe"


def test_a_capacity_is_asked_for_only_when_the_channel_is_full() -> None:
    def fails(name: str) -> int:
        raise AssertionError

    assert isinstance(send_failure("c", OSError(), capacity_of=fails, holdable=True), SendUnknown)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, True),
        (closed_before(), False),
        (closed_during("c"), True),
        (no_reply_channel(OSError()), False),
        (ChannelFull("c", 1), False),
        (SendUnknown("c", "x"), True),
    ],
)
def test_a_reply_may_come_unless_the_request_was_certainly_not_sent(
    error: ServiceBusError | None, expected: bool
) -> None:
    assert reply_may_come(error) == expected
