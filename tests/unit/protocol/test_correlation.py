from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from servicebus.protocol.correlation import Calls

LIMIT = 12


@dataclass(frozen=True)
class Entry:
    id: str
    deadline_ms: int


class CallsAgainstANaiveTable(RuleBasedStateMachine):
    """The naive table is a dict and a set of those reported; time only moves forward."""

    added = Bundle("added")

    @initialize(slot_ms=st.integers(1, 20))
    def start(self, slot_ms: int) -> None:
        self.calls: Calls[Entry] = Calls(LIMIT, slot_ms)
        self.slot_ms = slot_ms
        self.pending: dict[str, Entry] = {}
        self.reported: set[str] = set()
        self.now = 1000
        self.made = 0

    @rule(target=added, within=st.integers(-30, 200))
    def add(self, within: int) -> str:
        if self.calls.full:
            return "none"
        self.made += 1
        entry = Entry(f"call-{self.made}", self.now + within)
        self.calls.add(entry)
        self.pending[entry.id] = entry
        return entry.id

    @rule(call_id=consumes(added))
    def pop(self, call_id: str) -> None:
        assert self.calls.pop(call_id) == self.pending.pop(call_id, None)
        assert self.calls.pop(call_id) is None

    @rule()
    def pop_one_that_was_never_added(self) -> None:
        assert self.calls.pop("forged") is None

    @rule(passed=st.integers(0, 100))
    def time_passes(self, passed: int) -> None:
        self.now += passed
        reported = self.calls.expired(self.now)
        assert len({entry.id for entry in reported}) == len(reported)
        for entry in reported:
            assert self.pending[entry.id] is entry, "only pending calls are reported"
            assert entry.id not in self.reported, "each is reported once"
            assert entry.deadline_ms <= self.now, "none is reported before its deadline"
            self.reported.add(entry.id)
        for entry in self.pending.values():
            overdue = self.now - entry.deadline_ms
            assert entry.id in self.reported or overdue <= self.slot_ms, "none is reported more than a slot late"

    @rule()
    def drain(self) -> None:
        assert {entry.id for entry in self.calls.drain()} == set(self.pending)
        self.pending.clear()

    @invariant()
    def sizes_agree(self) -> None:
        assert len(self.calls) == len(self.pending)
        assert self.calls.full is (len(self.pending) >= LIMIT)

    @invariant()
    def the_next_instant_is_early_enough(self) -> None:
        unreported = [entry for entry in self.pending.values() if entry.id not in self.reported]
        due = self.calls.next_due_ms
        if unreported:
            assert due is not None
            assert due <= min(entry.deadline_ms for entry in unreported) + self.slot_ms


TestCalls = CallsAgainstANaiveTable.TestCase


def test_finished_calls_leave_nothing_behind() -> None:
    calls: Calls[Entry] = Calls(10)
    for number in range(100_000):
        calls.add(Entry(str(number), number))
        calls.pop(str(number))
        if number % 100 == 0:
            assert calls.expired(number - 10) == []
    assert len(calls) == 0
    assert len(calls._slots) < 100
    assert len(calls._due) < 100
