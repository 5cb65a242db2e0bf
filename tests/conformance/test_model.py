"""Every layer against a list: whatever is done to a channel, both hold the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from servicebus import ChannelFull, NoWorkers
from servicebus.layers.layer import Ability, Layer

from ..support.timing import eventually
from ..support.transport import (
    Delivery,
    Layers,
    Reader,
    outcomes,
    push,
)

CHANNEL = "shop.request"
CAPACITY = 8
T = TypeVar("T")


class ChannelAgainstAList(RuleBasedStateMachine):
    """One channel, two layers that push, readers that come and go. The model is a list and a number of workers."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.layers = Layers(self.url)
        self.two: list[Layer] = [self.run(self.layers.open(capacity=CAPACITY)) for _ in range(2)]
        self.deliveries: list[Delivery] = []
        self.made = 0
        self.model: list[int] = []
        self.run(self.read_all())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(which=st.integers(0, 1), count=st.integers(1, CAPACITY + 2))
    def push(self, which: int, count: int) -> None:
        numbers = range(self.made, self.made + count)
        self.made += count
        taken = self.run(self.pushed(self.two[which], numbers))
        room = CAPACITY - len(self.model)
        assert taken == {key: n for key, n in ((None, min(room, count)), (ChannelFull, max(0, count - room))) if n}
        self.model += numbers[:room]

    async def pushed(self, layer: Layer, numbers: range) -> Any:
        deliveries = push(layer, CHANNEL, numbers)
        self.deliveries += deliveries
        return await outcomes(deliveries)

    @rule()
    def push_for_a_worker(self) -> None:
        async def pushed() -> Any:
            return await outcomes(push(self.two[0], CHANNEL, [-1], needs_worker=True))

        assert self.run(pushed()) == {NoWorkers: 1}

    @rule(which=st.integers(0, 1), data=st.data())
    def withdraw(self, which: int, data: st.DataObject) -> None:
        if not self.deliveries:
            return
        delivery = data.draw(st.sampled_from(self.deliveries), label="delivery")
        removed = self.run(self.two[which].withdraw(delivery))
        assert removed == [delivery for number in self.model if number == delivery.number]
        if removed:
            self.model.remove(delivery.number)

    @rule(which=st.integers(0, 1), credit=st.integers(1, CAPACITY))
    def read_some(self, which: int, credit: int) -> None:
        expected = self.model[:credit]
        assert self.run(self.read(self.two[which], credit, len(expected))) == expected
        del self.model[:credit]

    async def read(self, layer: Layer, credit: int, count: int) -> list[int]:
        reader = Reader(layer, CHANNEL, credit=credit, hold=True)
        await reader.consumer.ready()
        await eventually(lambda: len(reader.frames) >= count)
        await reader.consumer.stop()
        return reader.numbers

    async def read_all(self) -> None:
        """An earlier run may have left something."""
        reader = Reader(self.two[0], CHANNEL)
        await reader.consumer.ready()
        await asyncio.sleep(0)
        await reader.consumer.stop()

    @invariant()
    def nobody_works_here(self) -> None:
        assert self.run(self.two[1].workers(CHANNEL)) == 0

    def teardown(self) -> None:
        self.run(self.read(self.two[0], CAPACITY, len(self.model)))
        self.run(self.layers.close())
        self.runner.close()


@pytest.mark.needs(Ability.PRESENCE, Ability.WITHDRAWAL)
def test_a_channel_holds_the_same_messages_as_a_list(url: str) -> None:
    machine = type("Machine", (ChannelAgainstAList,), {"url": url})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
