"""Whether a history keeps the promises of the bus. One pass over the events for each promise, and one sort."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .history import Event

OUTCOMES = frozenset({"ok", "fail", "maybe"})
GRACE = 0.1
"""Seconds after the deadline by which every call has its outcome."""


def problems(
    events: Iterable[Event],
    *,
    capacity: Mapping[str, int] | None = None,
    grace: float = GRACE,
    late_start: float = 0.0,
) -> list[str]:
    """What is wrong with a history; an empty list when nothing is. The events may come in any order.

    Checked are: at most one start for each ID, and none for the outcome ``fail``; one outcome for each invocation, by
    the deadline and ``grace``; no outcome ``ok`` of a call that did not start; no start later than ``late_start``
    seconds after the deadline; the order in which each process starts what one sender sent to one channel; and the
    messages without reply that wait in a channel at once, at most those that ``capacity`` grants it and its workers.
    """
    history = _History(sorted(events, key=lambda event: event.at))
    found = [*history.starts_twice(), *history.in_time(late_start, grace), *history.lies(), *history.outcomes_missing()]
    return [*found, *history.disorder(), *history.overflow(capacity or {})]


class _History:
    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._invoked = {event.id: event for event in events if event.kind == "invoke"}
        self._starts = Counter(event.id for event in events if event.kind == "start")

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

    def lies(self) -> Iterator[str]:
        for event in self._events:
            invoked, started = self._invoked.get(event.id), self._starts[event.id] > 0
            if event.kind == "fail" and started:
                yield f"{event.id} ran, and its caller was told that it did not"
            if event.kind == "ok" and not started and invoked is not None and invoked.reply:
                yield f"{event.id} did not run, and its caller was told that it did"

    def outcomes_missing(self) -> Iterator[str]:
        outcomes = Counter(event.id for event in self._events if event.kind in OUTCOMES)
        yield from (f"{id} had {outcomes[id]} outcomes" for id in self._invoked if outcomes[id] != 1)

    def disorder(self) -> Iterator[str]:
        """Of what different processes start nothing can be said: what was taken first may be started last."""
        last: dict[tuple[str, str, str], int] = {}
        for event in self._events:
            invoked = self._invoked.get(event.id)
            if event.kind != "start" or invoked is None or not invoked.sequence:
                continue
            line = invoked.sender, invoked.channel, event.by
            if invoked.sequence < last.get(line, 0):
                yield f"{event.id} started after a later one of {invoked.sender} to {invoked.channel}"
            last[line] = max(invoked.sequence, last.get(line, 0))

    def overflow(self, capacity: Mapping[str, int]) -> Iterator[str]:
        waiting: Counter[str] = Counter()
        worst: dict[str, int] = defaultdict(int)
        for _, change, channel in sorted(self._changes()):
            waiting[channel] += change
            worst[channel] = max(worst[channel], waiting[channel])
        for channel, most in capacity.items():
            if worst[channel] > most:
                yield f"{channel} held {worst[channel]} messages: its capacity is {most}"

    def _changes(self) -> Iterator[tuple[float, int, str]]:
        """When a message without reply certainly waited from, and until when: it was started, or its time was over."""
        started = {event.id: event.at for event in self._events if event.kind == "start"}
        for event in self._events:
            invoked = self._invoked.get(event.id)
            if event.kind != "ok" or invoked is None or invoked.reply:
                continue
            until = min(started.get(event.id, float("inf")), invoked.deadline or float("inf"))
            if until > event.at:
                yield event.at, 1, invoked.channel
                yield until, -1, invoked.channel
