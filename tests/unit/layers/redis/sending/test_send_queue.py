"""What waits to be sent: a machine of random steps beside a plain model of them."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from servicebus.layers.delivery import PLAIN, TO_WORKERS, Options
from servicebus.layers.redis.sending.batch import MAX_FRAMES, Batch, Command
from servicebus.layers.redis.sending.send_queue import SendQueue

CHANNELS = st.sampled_from(["a.request", "b.request", "c!"])
MAX_BYTES = 200


class One:
    """A delivery whose outcome is not looked at."""

    def __init__(self, channel: str, frame: bytes, options: Options = PLAIN) -> None:
        self.channel = channel
        self.frame = frame
        self.place = 0
        self.options = options

    def settle(self, error: Any) -> None: ...


class Queued(RuleBasedStateMachine):
    """The queue, and what should be in it: deliveries and commands, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = SendQueue(MAX_BYTES)
        self.model: list[One | Command] = []

    @rule(channel=CHANNELS, size=st.integers(0, 60), options=st.sampled_from([PLAIN, TO_WORKERS]))
    def add(self, channel: str, size: int, options: Options) -> None:
        full = self.queue.waiting_bytes >= MAX_BYTES
        one = One(channel, b"x" * size, options)
        assert (self.queue.add(one) == 0) == full
        if not full:
            self.model.append(one)

    @rule(size=st.integers(0, 20))
    def add_command(self, size: int) -> None:
        command = Command(b"c" * size, lambda reply: None)
        self.queue.add_command(command)
        self.model.append(command)

    @precondition(lambda self: self.queue.waiting)
    @rule(again=st.booleans())
    def take_next(self, again: bool) -> None:
        taken = self.queue.take_next()
        if isinstance(taken, Command):
            self.model.remove(taken)
            return
        if again and taken.deliveries:
            self.queue.put_back([taken])
            self.model = [*taken.deliveries, *(one for one in self.model if one not in taken.deliveries)]  # type: ignore[list-item]
        else:
            self.model = [one for one in self.model if one not in taken.deliveries]

    @precondition(lambda self: any(isinstance(one, One) for one in self.model))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from([one for one in self.model if isinstance(one, One)]), unique=True))
        assert set(map(id, self.queue.remove(some))) == set(map(id, some))
        assert self.queue.remove(some) == []
        self.model = [one for one in self.model if one not in some]

    @rule(channel=CHANNELS | st.none())
    def take_deliveries(self, channel: str | None) -> None:
        taken = self.queue.take_deliveries(channel)
        gone = [one for one in self.model if isinstance(one, One) and channel in (None, one.channel)]
        assert sorted(map(id, taken)) == sorted(map(id, gone))
        for name in {one.channel for one in gone}:
            assert [one for one in taken if one.channel == name] == [one for one in gone if one.channel == name]
        self.model = [one for one in self.model if one not in gone]

    @rule()
    def take_commands(self) -> None:
        assert self.queue.take_commands() == [one for one in self.model if isinstance(one, Command)]
        self.model = [one for one in self.model if isinstance(one, One)]

    @invariant()
    def bytes_add_up(self) -> None:
        sizes = (len(one.data) if isinstance(one, Command) else len(one.frame) for one in self.model)
        assert self.queue.waiting_bytes == sum(sizes)

    @invariant()
    def each_channel_is_in_order_and_a_batch_is_of_one_kind(self) -> None:
        batches = list(self.queue.batches())
        waiting = [one for batch in batches for one in batch.deliveries]
        for name in {one.channel for one in waiting}:
            expected = [one for one in self.model if isinstance(one, One) and one.channel == name]
            assert [one for one in waiting if one.channel == name] == expected
        for batch in batches:
            assert {(one.channel, one.options) for one in batch.deliveries} <= {(batch.channel, batch.options)}
            assert batch.size == sum(len(one.frame) for one in batch.deliveries)


TestQueued = Queued.TestCase
TestQueued.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_batch_is_bounded_in_frames() -> None:
    batch = Batch(One("a.request", b"x"))
    joined = [batch.join(One("a.request", b"x"), 1) for _ in range(MAX_FRAMES)]
    assert joined == [*range(2, MAX_FRAMES + 1), 0]
