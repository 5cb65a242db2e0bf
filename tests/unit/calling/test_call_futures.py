"""A call's future is completed as the table of its life says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import DeadlineExceeded, NoWorkers
from servicebus.calling.deliveries import Call, CancelNotice, OneWayDelivery
from servicebus.calling.ids import CALL_CHARACTERS, call_ids, random_name
from servicebus.protocol.call_life import Event, State

LOOP = asyncio.new_event_loop()


def call() -> Call:
    return Call("id", "shop.request", "count", b"", 0, LOOP.create_future())


@given(st.lists(st.sampled_from(Event), max_size=8))
def test_whatever_happens_the_future_is_completed_once(events: list[Event]) -> None:
    pending, outcome = call(), NoWorkers("shop.request")
    for event in events:
        before = pending.future.done()
        pending.advance(event, outcome if event is Event.REFUSED else "reply")
        assert pending.future.done() or not before
    if pending.future.done():
        pending.future.exception()


@pytest.mark.parametrize(
    ("events", "stage"),
    [
        ([Event.DEADLINE, Event.WITHDRAWN], "queued"),
        ([Event.DEADLINE, Event.NOT_WITHDRAWN], "dispatched"),
        ([Event.DEADLINE, Event.REPLY], "dispatched"),
    ],
)
def test_a_deadline_says_how_far_the_call_came(events: list[Event], stage: str) -> None:
    pending = call()
    for event in events:
        pending.advance(event, "reply")
    error = pending.future.exception()
    assert isinstance(error, DeadlineExceeded)
    assert (error.stage, pending.state) == (stage, State.DONE)


def test_a_refusal_is_a_copy_for_each_caller() -> None:
    first, second, error = call(), call(), NoWorkers("shop.request")
    first.settle(error)
    second.settle(error)
    raised = {id(first.future.exception()), id(second.future.exception()), id(error)}
    assert len(raised) == 3


def test_a_request_that_was_taken_goes_on_waiting() -> None:
    pending = call()
    pending.settle(None)
    assert not pending.future.done()
    assert pending.state is State.PENDING


@pytest.mark.parametrize("error", [None, NoWorkers("shop.request")])
def test_a_one_way_message_is_settled_once(error: Any) -> None:
    delivery = OneWayDelivery("shop.request", "count", b"", LOOP.create_future())
    delivery.settle(error)
    delivery.settle(NoWorkers("elsewhere"))
    assert type(delivery.future.exception()) is type(error)


def test_a_notice_that_was_not_taken_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        CancelNotice("inbox!", b"").settle(NoWorkers("inbox!"))
    assert "was not told that a caller went away" in caplog.text


def test_call_ids_are_alphanumeric_of_one_length_and_unique() -> None:
    ids = call_ids()
    drawn = [next(ids) for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(len(one) == CALL_CHARACTERS and one.isalnum() for one in drawn)
    assert len(random_name(22)) == 22
