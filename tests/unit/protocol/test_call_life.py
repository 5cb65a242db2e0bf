"""The life of a call: the table, and walks through it that Hypothesis chooses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.protocol.call_life import TRANSITIONS, Action, Event, State, step

ENDS = {Action.COMPLETE, Action.FAIL, Action.EXPIRE_QUEUED, Action.EXPIRE_DISPATCHED}
walks = st.lists(st.sampled_from(Event), max_size=12)


@given(walks)
def test_a_call_ends_at_most_once(events: list[Event]) -> None:
    state, ended = State.PENDING, 0
    for event in events:
        state, action = step(state, event)
        ended += action in ENDS
    assert ended <= 1


@given(walks)
def test_nothing_happens_to_a_call_that_has_ended(events: list[Event]) -> None:
    for event in events:
        assert step(State.DONE, event).state is State.DONE
        assert step(State.DONE, event).action in (Action.NOTHING, Action.COUNT_LATE)


@given(walks)
def test_not_executed_is_only_said_after_a_withdrawal(events: list[Event]) -> None:
    state = State.PENDING
    for event in events:
        state, action = step(state, event)
        if action is Action.EXPIRE_QUEUED:
            assert event is Event.WITHDRAWN


@given(walks)
def test_workers_are_told_only_of_calls_whose_waiter_has_gone(events: list[Event]) -> None:
    state = State.PENDING
    for event in events:
        before, (state, action) = state, step(state, event)
        if action is Action.NOTIFY_WORKERS:
            assert before is State.ABANDONED


@pytest.mark.parametrize("state", [State.PENDING, State.OVERDUE])
@pytest.mark.parametrize("event", [Event.REPLY, Event.NOT_STARTED])
def test_a_reply_to_a_waiting_call_always_ends_it(state: State, event: Event) -> None:
    assert step(state, event).state is State.DONE
    assert step(state, event).action in ENDS


def test_every_withdrawal_leads_to_an_end() -> None:
    for state, action in TRANSITIONS.values():
        if action is Action.WITHDRAW:
            for event in (Event.WITHDRAWN, Event.NOT_WITHDRAWN):
                assert step(state, event).state is State.DONE


def test_the_table_has_no_row_that_changes_nothing() -> None:
    for (state, _), outcome in TRANSITIONS.items():
        assert outcome.state is not state or outcome.action is not Action.NOTHING


def test_every_state_event_and_action_is_used() -> None:
    assert {state for state, _ in TRANSITIONS} | {found.state for found in TRANSITIONS.values()} == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)
    assert {found.action for found in TRANSITIONS.values()} | {Action.NOTHING} == set(Action)
