"""Taking many requests back: each call is settled once, whatever the layer does with its part."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from servicebus.calling.deliveries import Call
from servicebus.calling.withdrawal import CALLS_PER_PART, PARTS_AT_ONCE, withdraw
from servicebus.layers.layer import Layer

PLANS = st.lists(st.sampled_from(["all", "none", "half", "raise", "silent"]), min_size=1, max_size=8)
"""What the layer does with one part after the other."""


class Scripted:
    """A layer that does with each part what the plan says, and notes how many parts it has at once."""

    def __init__(self, plan: Sequence[str]) -> None:
        self._plan = iter(plan)
        self.at_once = self.most_at_once = 0
        self.taken_back: set[int] = set()

    async def withdraw(self, *calls: Call) -> list[Call]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            what = next(self._plan, "all")
            await asyncio.sleep(3600.0 if what == "silent" else 0.0)
            if what == "raise":
                raise ValueError("the layer has a fault")
            gone = {"all": list(calls), "none": [], "half": list(calls[::2])}[what]
            self.taken_back |= set(map(id, gone))
            return gone
        finally:
            self.at_once -= 1


def call(number: int) -> Call:
    return Call(str(number), f"{number % 3}.request", "x", b"", 0, cast("asyncio.Future[Any]", None))


@given(st.integers(1, 6 * CALLS_PER_PART), PLANS)
@settings(max_examples=40, deadline=None)
def test_each_call_is_settled_once_and_truly(count: int, plan: list[str]) -> None:
    layer, calls = Scripted(plan), [call(number) for number in range(count)]
    settled, withdrawn = Counter[str](), set[int]()

    def settle(part: Sequence[Call], gone: set[int]) -> None:
        settled.update(one.id for one in part)
        withdrawn.update(gone)
        assert len(part) <= CALLS_PER_PART

    asyncio.run(withdraw(cast("Layer", layer), calls, settle))
    assert settled == Counter(one.id for one in calls)
    assert withdrawn == layer.taken_back
    assert layer.most_at_once <= PARTS_AT_ONCE
    assert layer.at_once == 0


async def test_parts_are_settled_as_they_are_answered() -> None:
    """A call need not wait for thousands that are withdrawn with it."""
    release = asyncio.Event()

    class HoldingTheRest(Scripted):
        async def withdraw(self, *calls: Call) -> list[Call]:
            if calls[0].channel != "0.request":
                await release.wait()
            return list(calls)

    settled: list[int] = []

    def settle(part: Sequence[Call], gone: set[int]) -> None:
        settled.append(len(gone))
        release.set()

    calls = [call(number) for number in range(3 * CALLS_PER_PART)]
    await withdraw(cast("Layer", HoldingTheRest([])), calls, settle)
    assert settled == [CALLS_PER_PART] * 3


async def test_a_loop_that_stands_still_does_not_count_as_a_silent_server() -> None:
    class Slow(Scripted):
        async def withdraw(self, *calls: Call) -> list[Call]:
            await asyncio.sleep(0)
            time.sleep(0.2)  # noqa: ASYNC251 - the process stands still, and the answer is there when it goes on
            await asyncio.sleep(0)
            return list(calls)

    settled: list[int] = []
    calls = [call(number) for number in range(CALLS_PER_PART)]
    await withdraw(cast("Layer", Slow([])), calls, lambda part, gone: settled.append(len(gone)))
    assert settled == [CALLS_PER_PART]
