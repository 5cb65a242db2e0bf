from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from servicebus.resilience import CircuitOpen, Retry
from servicebus.resilience.retry import RetryPolicy

POLICY = RetryPolicy(attempts=3, backoff=0.05, longest=1.0, least=0.01)

SAFE = [ChannelFull("c", 1), NoWorkers("c"), Overloaded("c", "full"), Unavailable("down"), UnknownOperation("o")]
UNSURE = [SendUnknown("c"), WorkerLost("c"), DeadlineExceeded("c", "o", "dispatched")]
FINAL = [
    Unavailable("denied", retryable=False),
    DeadlineExceeded("c", "o", "queued"),
    InvalidRequest("bad"),
    MessageTooLarge(2, 1),
    Unauthorized("o"),
    ConfigurationError("bad"),
    RemoteError("internal"),
]


@pytest.mark.parametrize("may_repeat", [True, False])
@pytest.mark.parametrize("error", SAFE, ids=lambda error: type(error).__name__)
def test_what_certainly_did_not_run_and_may_do_better_is_sent_again(error: ServiceBusError, may_repeat: bool) -> None:
    assert POLICY.verdict(error, may_repeat, 1, 1.0, 0.5) == 0.025


@pytest.mark.parametrize("error", UNSURE, ids=lambda error: type(error).__name__)
def test_what_may_have_run_is_sent_again_only_when_it_may_be_repeated(error: ServiceBusError) -> None:
    assert POLICY.verdict(error, False, 1, 1.0, 0.5) == "final"
    assert POLICY.verdict(error, True, 1, 1.0, 0.5) == 0.025


@pytest.mark.parametrize("may_repeat", [True, False])
@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_what_would_fail_again_or_did_run_is_never_sent_again(error: ServiceBusError, may_repeat: bool) -> None:
    assert POLICY.verdict(error, may_repeat, 1, 1.0, 0.5) == "final"


def test_the_longest_pause_doubles_up_to_its_limit() -> None:
    policy = RetryPolicy(attempts=100_000, backoff=0.05, longest=1.0, least=0.01)
    pauses = [policy.verdict(NoWorkers("c"), False, attempt, 9.0, 1.0) for attempt in (1, 2, 3, 4, 5, 6, 99_999)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_last_attempt_is_the_last() -> None:
    assert POLICY.verdict(NoWorkers("c"), False, 2, 1.0, 0.0) == 0.0
    assert POLICY.verdict(NoWorkers("c"), False, 3, 1.0, 0.0) == "exhausted"


def test_an_attempt_that_would_have_too_little_time_is_not_made() -> None:
    assert POLICY.verdict(NoWorkers("c"), False, 1, 0.061, 1.0) == 0.05
    assert POLICY.verdict(NoWorkers("c"), False, 1, 0.059, 1.0) == "out_of_time"
    assert POLICY.verdict(NoWorkers("c"), False, 1, -1.0, 0.0) == "out_of_time"


def test_an_open_circuit_is_waited_out_or_not_tried() -> None:
    assert POLICY.verdict(CircuitOpen("c", 0.5), False, 1, 1.0, 0.5) == 0.525
    assert POLICY.verdict(CircuitOpen("c", 5.0), False, 1, 1.0, 0.5) == "out_of_time"


@given(
    error=st.sampled_from(SAFE + UNSURE + FINAL),
    may_repeat=st.booleans(),
    attempt=st.integers(1, 5),
    left=st.floats(-1, 10),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_verdict_keeps_the_rules(
    error: ServiceBusError, may_repeat: bool, attempt: int, left: float, chance: float
) -> None:
    verdict = POLICY.verdict(error, may_repeat, attempt, left, chance)
    if isinstance(verdict, float):
        assert (error.executed == "no" and error.retryable) or (error.executed == "maybe" and may_repeat)
        assert attempt < 3
        assert 0 <= verdict <= min(1.0, left - 0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"backoff": 0},
        {"longest": float("inf")},
        {"budget": 1.5},
        {"budget": 0},
        {"burst": 0},
        {"least": -1},
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_refused_when_the_policy_is_made(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Retry(**options)  # type: ignore[arg-type]
