"""One mailbox against a model: nothing is lost or doubled, order is kept, and the counts agree with what is held."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from servicebus.channel_layer.mailbox import Bridge, CountChanges, Item, Mailbox

CHANNEL = "jobs"
FAR = 1e9
"""An instant that never comes in these tests."""


class FakeBridge:
    """The way to an event loop that is closed or not, and calls nothing."""

    def __init__(self) -> None:
        self.closed = False

    def post(self, callback: Callable[[Any], None], argument: Any) -> bool:
        return not self.closed


class FakeWaiter:
    """A receive that waits."""

    def __init__(self) -> None:
        self.bridge: Bridge = FakeBridge()
        self.item: Item | None = None
        self.turn = 0

    def wake(self, _: None) -> None:
        pass


def mailbox() -> tuple[Mailbox, CountChanges]:
    changes = CountChanges()
    return Mailbox(CHANNEL, changes, count(1).__next__), changes


def item(number: int, *, expires: float = FAR, counted: bool = False, turn: int = 0) -> Item:
    return Item(expires, b"%d" % number, counted, turn)


def frames(box: Mailbox) -> list[bytes]:
    return [one.frame for one in box.items]


class MailboxMachine(RuleBasedStateMachine):
    """What any order of puts, receives, cancellations and returns leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.box, self.changes = mailbox()
        self.numbers = count()
        self.now = 0.0
        self.put: list[bytes] = []
        self.read: list[bytes] = []
        self.given: list[FakeWaiter] = []
        self.server_counts = 0

    @rule(counted=st.booleans())
    def put_one(self, counted: bool) -> None:
        new = item(next(self.numbers), counted=counted)
        self.put.append(new.frame)
        self.server_counts += counted
        waiters = list(self.box.waiters)
        self.box.put(new, self.now)
        self.note_given(waiters)

    @rule(capacity=st.integers(0, 4))
    def put_copy(self, capacity: int) -> None:
        new = item(next(self.numbers))
        waiters, kept = list(self.box.waiters), len(self.box.items)
        took = self.box.put_copy(new, new._replace(counted=True), lambda _: capacity, self.now)
        assert took or kept >= capacity
        if took:
            self.put.append(new.frame)
        self.note_given(waiters)

    @rule()
    def receive(self) -> None:
        found = self.box.next_item(self.now) if self.box.items else None
        if found is None:
            self.box.waiters.append(FakeWaiter())
        else:
            assert not found.counted
            self.read.append(found.frame)

    @precondition(lambda self: self.box.waiters)
    @rule(data=st.data())
    def close_a_loop(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([one.bridge for one in self.box.waiters])).closed = True  # type: ignore[attr-defined]

    @precondition(lambda self: self.box.waiters)
    @rule(data=st.data())
    def cancel_a_receive_that_waits(self, data: st.DataObject) -> None:
        self.box.give_up(data.draw(st.sampled_from(list(self.box.waiters))))

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def cancel_a_receive_that_was_given_its_message(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.given))
        self.given.remove(waiter)
        waiters = list(self.box.waiters)
        self.box.give_up(waiter)
        assert waiter.item is None
        self.note_given(waiters)

    @precondition(lambda self: self.given)
    @rule()
    def the_first_receive_goes_on(self) -> None:
        waiter = self.given.pop(0)
        assert waiter.item is not None
        self.read.append(waiter.item.frame)

    @rule()
    def withdraw_and_put_back(self) -> None:
        taken = list(self.box.items)
        self.box.items.clear()
        self.box.put_back(taken)

    def note_given(self, waiters: list[Any]) -> None:
        self.given += [waiter for waiter in waiters if waiter.item is not None]

    @invariant()
    def messages_and_waiters_are_never_there_together(self) -> None:
        open_waiters = [waiter for waiter in self.box.waiters if not waiter.bridge.closed]  # type: ignore[attr-defined]
        assert not (self.box.items and open_waiters)

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        held = [waiter.item.frame for waiter in self.given if waiter.item is not None]
        assert sorted(self.read + held + frames(self.box)) == sorted(self.put)

    @invariant()
    def the_server_counts_what_is_kept(self) -> None:
        self.server_counts -= self.changes.take().get(CHANNEL, 0)
        assert self.server_counts == sum(one.counted for one in self.box.items)


TestMailbox = MailboxMachine.TestCase


@given(st.permutations(range(5)))
def test_messages_that_come_back_are_in_the_order_they_went(order: list[int]) -> None:
    box, _ = mailbox()
    waiters = [FakeWaiter() for _ in order]
    box.waiters.extend(waiters)
    for number in range(len(order)):
        box.put(item(number), 0.0)
    box.put(item(9), 0.0)
    for number in order:
        box.give_up(waiters[number])
    assert frames(box) == [b"0", b"1", b"2", b"3", b"4", b"9"]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=6), st.integers(0, 4))
def test_expired_messages_are_neither_read_nor_counted(kept: list[tuple[int, bool]], now: int) -> None:
    box, changes = mailbox()
    box.items.extend(item(n, expires=expires, counted=counted) for n, (expires, counted) in enumerate(kept))
    swept, swept_changes = mailbox()
    swept.items.extend(box.items)
    swept.drop_expired(now)
    assert [one.expires > now for one in swept.items] == [True] * sum(expires > now for expires, _ in kept)
    assert swept_changes.take().get(CHANNEL, 0) == sum(counted for expires, counted in kept if expires <= now)
    read = []
    while (found := box.next_item(now)) is not None:
        read.append(found.frame)
    assert read == frames(swept)
    assert changes.take().get(CHANNEL, 0) == sum(counted for _, counted in kept)


def test_a_message_that_has_expired_is_not_put() -> None:
    box, changes = mailbox()
    box.put(item(1, expires=1.0, counted=True), 1.0)
    assert not box.items
    assert changes.take() == {CHANNEL: 1}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3, 3))))
def test_changes_are_summed_and_the_first_one_is_announced(added: list[tuple[str, int]]) -> None:
    changes, calls = CountChanges(), list[None]()
    changes.subscribe(lambda: calls.append(None))
    for channel, number in added:
        changes.add(channel, number)
    assert len(calls) == bool(added)
    sums = {name: sum(number for channel, number in added if channel == name) for name in "ab"}
    assert changes.take() == {name: number for name, number in sums.items() if number}
    assert changes.take() == {}
    changes.defer("a", 2)
    assert ("a" in changes, len(calls)) == (True, bool(added))
    assert changes.take() == {"a": 2}


def test_only_the_subscription_that_is_meant_ends() -> None:
    changes, calls = CountChanges(), list[int]()
    first, second = (lambda: calls.append(1)), (lambda: calls.append(2))
    changes.subscribe(first)
    changes.subscribe(second)
    changes.unsubscribe(first)
    changes.add("a", 1)
    changes.unsubscribe(second)
    changes.clear()
    changes.add("a", 1)
    assert calls == [2]
