from __future__ import annotations

from itertools import islice

import pytest

from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    NoWorkers,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBusError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from services.orders.calls import FIRST_DELAY, LONGEST_DELAY, backoff, is_transient

PASSING = [
    ChannelFull("c", 100),
    DeadlineExceeded("c", "o", "queued"),
    DeadlineExceeded("c", "o", "dispatched"),
    NoWorkers("c"),
    Overloaded("c", "busy"),
    SendUnknown("c"),
    Unavailable("down"),
    WorkerLost("c"),
]
LASTING = [
    ConfigurationError("wrong"),
    InvalidRequest("wrong"),
    RemoteError("internal"),
    Unauthorized("o"),
    Unavailable("no permission", retryable=False),
    UnknownOperation("o"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_tried_again(error: ServiceBusError) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_will_not_pass_is_not(error: ServiceBusError) -> None:
    assert not is_transient(error)


def test_delays_double_up_to_the_longest_and_differ_from_caller_to_caller() -> None:
    first, second = list(islice(backoff(), 8)), list(islice(backoff(), 8))
    assert first != second
    for number, delay in enumerate(first):
        longest = min(FIRST_DELAY * 2**number, LONGEST_DELAY)
        assert longest / 2 <= delay <= longest
