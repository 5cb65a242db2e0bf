"""The life of a call, from its request to its one outcome, as a table. The caller's shell acts on it.

A call ends in exactly one value or one error. At its deadline the request is withdrawn from its channel: when that
succeeds, the handler certainly never started. When it does not, a worker has the request and gets a moment to answer
that it came too late. A call whose waiter was cancelled is withdrawn too; when a worker has it by then, the workers are
told.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """Where a call is."""

    PENDING = "waits for its reply"
    OVERDUE = "past its deadline, being withdrawn"
    ABANDONED = "its waiter has gone, being withdrawn"
    DONE = "has its outcome"


class Event(Enum):
    """What can happen to a call."""

    REPLY = "a reply or an error came"
    NOT_STARTED = 'an error came that says executed "no"'
    REFUSED = "the layer did not take the request"
    DEADLINE = "the deadline passed"
    CANCELLED = "the waiter was cancelled"
    WITHDRAWN = "the request was taken back from its channel"
    NOT_WITHDRAWN = "the request was no longer in its channel, and no answer came in time"


class Action(Enum):
    """What the shell does."""

    COMPLETE = "give the reply to the waiter"
    FAIL = "give the layer's error to the waiter"
    WITHDRAW = "try to take the request back"
    EXPIRE_QUEUED = 'raise DeadlineExceeded, executed "no"'
    EXPIRE_DISPATCHED = 'raise DeadlineExceeded, executed "maybe"'
    NOTIFY_WORKERS = "tell the workers that the caller went away"
    COUNT_LATE = "count a late reply"
    NOTHING = "do nothing"


class Step(NamedTuple):
    """The state after an event, and what the shell does."""

    state: State
    action: Action


TRANSITIONS: dict[tuple[State, Event], Step] = {
    (State.PENDING, Event.REPLY): Step(State.DONE, Action.COMPLETE),
    (State.PENDING, Event.NOT_STARTED): Step(State.DONE, Action.COMPLETE),
    (State.PENDING, Event.REFUSED): Step(State.DONE, Action.FAIL),
    (State.PENDING, Event.DEADLINE): Step(State.OVERDUE, Action.WITHDRAW),
    (State.PENDING, Event.CANCELLED): Step(State.ABANDONED, Action.WITHDRAW),
    (State.OVERDUE, Event.NOT_STARTED): Step(State.DONE, Action.COMPLETE),
    (State.OVERDUE, Event.REPLY): Step(State.DONE, Action.EXPIRE_DISPATCHED),
    (State.OVERDUE, Event.REFUSED): Step(State.DONE, Action.FAIL),
    (State.OVERDUE, Event.WITHDRAWN): Step(State.DONE, Action.EXPIRE_QUEUED),
    (State.OVERDUE, Event.NOT_WITHDRAWN): Step(State.DONE, Action.EXPIRE_DISPATCHED),
    (State.OVERDUE, Event.CANCELLED): Step(State.ABANDONED, Action.WITHDRAW),
    (State.ABANDONED, Event.WITHDRAWN): Step(State.DONE, Action.NOTHING),
    (State.ABANDONED, Event.NOT_WITHDRAWN): Step(State.DONE, Action.NOTIFY_WORKERS),
    (State.ABANDONED, Event.REFUSED): Step(State.DONE, Action.NOTHING),
    (State.ABANDONED, Event.REPLY): Step(State.DONE, Action.COUNT_LATE),
    (State.ABANDONED, Event.NOT_STARTED): Step(State.DONE, Action.COUNT_LATE),
    (State.DONE, Event.REPLY): Step(State.DONE, Action.COUNT_LATE),
    (State.DONE, Event.NOT_STARTED): Step(State.DONE, Action.COUNT_LATE),
}
"""Every change of state, and every reply that comes too late. What is not here changes nothing."""


def step(state: State, event: Event) -> Step:
    """What follows when ``event`` happens to a call in ``state``."""
    return TRANSITIONS.get((state, event)) or Step(state, Action.NOTHING)
