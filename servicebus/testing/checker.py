"""Check a history against the promises of the bus: one sort, and one pass over the events for each promise."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .history import Event

OUTCOMES = frozenset({"ok", "fail", "maybe"})
"""The kinds of events that end an invocation."""
OUTCOME_GRACE = 0.1
"""Seconds after its deadline within which every call must have its outcome: the event loop may run late."""


def problems(
    events: Iterable[Event],
    *,
    capacity: Mapping[str, int] | None = None,
    grace: float = OUTCOME_GRACE,
    late_start: float = 0.0,
) -> list[str]:
    """Return the promises of the bus that a history breaks, each as one sentence; an empty list when it breaks none.

    A history that cannot be is told too: an ID that is invoked twice, and what happens to an ID before it is invoked or
    although it never is.

    The promises: each message starts at most once, and not at all when its outcome is ``fail``. Each invocation has
    exactly one outcome, in time. A call has started before its outcome ``ok``. No message starts late. Each process
    starts the messages of one sender to one channel in their order. No channel holds more messages than its capacity.

    Args:
        events: the history, in any order.
        capacity: for each channel to check, how many messages it and its workers may hold; only messages without a
            reply are counted.
        grace: seconds after its deadline within which a call must have its outcome.
        late_start: seconds after its deadline within which a message may still start.
    """
    history = _History(sorted(events, key=lambda event: event.at))
    found = [
        *history.impossible(),
        *history.starts_twice(),
        *history.in_time(late_start, grace),
        *history.wrong_outcomes(),
        *history.outcomes_missing(),
    ]
    return [*found, *history.out_of_order(), *history.overflow(capacity or {})]


class _History:
    """A sorted history; each method yields the violations of one promise."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        # The first invocation of each message, by its ID.
        self._invoked = {event.id: event for event in reversed(events) if event.kind == "invoke"}
        # When each message started first, by its ID.
        self._started = {event.id: event.at for event in reversed(events) if event.kind == "start"}
        # How often each message started, by its ID.
        self._starts = Counter(event.id for event in events if event.kind == "start")

    def impossible(self) -> Iterator[str]:
        invocations = Counter(event.id for event in self._events if event.kind == "invoke")
        yield from (f"{id} was invoked {times} times" for id, times in invocations.items() if times > 1)
        for event in self._events:
            invoked = self._invoked.get(event.id)
            if invoked is None:
                yield f"{event.id} was never invoked, and has the event {event.kind!r}"
            elif event.at < invoked.at:
                yield f"{event.id} has the event {event.kind!r} {invoked.at - event.at:.3f} s before it was invoked"

    def starts_twice(self) -> Iterator[str]:
        yield from (f"{id} started {times} times" for id, times in self._starts.items() if times > 1)

    def in_time(self, late_start: float, grace: float) -> Iterator[str]:
        for event in self._events:
            invoked = self._invoked.get(event.id)
            late = event.at - invoked.deadline if invoked and invoked.deadline else 0.0
            if event.kind == "start" and late > late_start:
                yield f"{event.id} started {late:.3f} s after its deadline"
            if event.kind in OUTCOMES and late > grace:
                yield f"{event.id} had its outcome {late:.3f} s after its deadline"

    def wrong_outcomes(self) -> Iterator[str]:
        for event in self._events:
            invoked, started = self._invoked.get(event.id), self._starts[event.id] > 0
            if event.kind == "fail" and started:
                yield f"{event.id} ran, and its caller was told that it did not"
            if event.kind == "ok" and not started and invoked is not None and invoked.reply:
                yield f"{event.id} did not run, and its caller was told that it did"
            elif event.kind == "ok" and invoked is not None and invoked.reply and event.at < self._started[event.id]:
                yield f"{event.id} ran only after its caller was told that it did"

    def outcomes_missing(self) -> Iterator[str]:
        outcomes = Counter(event.id for event in self._events if event.kind in OUTCOMES)
        yield from (f"{id} had {outcomes[id]} outcomes" for id in self._invoked if outcomes[id] != 1)

    def out_of_order(self) -> Iterator[str]:
        """Compare the starts in each process. Of two processes the first to take a message may be the last to start."""
        last: dict[tuple[str, str, str], int] = {}
        for event in self._events:
            invoked = self._invoked.get(event.id)
            if event.kind != "start" or invoked is None or not invoked.sequence:
                continue
            stream = invoked.sender, invoked.channel, event.by
            if invoked.sequence < last.get(stream, 0):
                yield f"{event.id} started after a later one of {invoked.sender} to {invoked.channel}"
            last[stream] = max(invoked.sequence, last.get(stream, 0))

    def overflow(self, capacity: Mapping[str, int]) -> Iterator[str]:
        waiting: Counter[str] = Counter()
        worst: dict[str, int] = defaultdict(int)
        for _, change, channel in sorted(self._changes()):
            waiting[channel] += change
            worst[channel] = max(worst[channel], waiting[channel])
        for channel, allowed in capacity.items():
            if worst[channel] > allowed:
                yield f"{channel} held {worst[channel]} messages: its capacity is {allowed}"

    def _changes(self) -> Iterator[tuple[float, int, str]]:
        """Yield (instant, +1 or -1, channel) for each message without a reply that certainly waited in its channel.

        A message waits at least from its outcome ``ok`` until it starts or its deadline passes. With the outcome
        ``maybe`` it waits if it starts afterwards.
        """
        for event in self._events:
            invoked = self._invoked.get(event.id)
            if event.kind not in ("ok", "maybe") or invoked is None or invoked.reply:
                continue
            if event.kind == "maybe" and event.id not in self._started:
                continue
            until = min(self._started.get(event.id, float("inf")), invoked.deadline or float("inf"))
            if until > event.at:
                yield event.at, 1, invoked.channel
                yield until, -1, invoked.channel
