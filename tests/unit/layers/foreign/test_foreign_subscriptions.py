from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError, Unavailable
from servicebus.layers.foreign.subscriptions import Subscriptions, refresh_period
from servicebus.layers.foreign.timing import ForeignTiming

from ....support.failing_layer import FailingLayer
from ....support.timing import MS, eventually

GROUP, CHANNEL = "orders.placed", "shop.events"


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_a_membership_is_refreshed_four_times_in_its_life(group_expiry: float, refresh_every: float) -> None:
    period = refresh_period(group_expiry, refresh_every)
    assert period <= refresh_every
    assert period * 4 <= group_expiry or math.isclose(period * 4, group_expiry)


async def test_a_membership_is_refreshed_until_it_is_removed(foreign: FailingLayer) -> None:
    subscriptions = Subscriptions(foreign, ForeignTiming(refresh_every=10 * MS))
    await subscriptions.add(GROUP, CHANNEL)
    await eventually(lambda: len(foreign.joined) >= 4)
    subscriptions.remove(GROUP, CHANNEL)
    subscriptions.remove(GROUP, CHANNEL)
    await asyncio.sleep(0)
    joined = len(foreign.joined)
    await asyncio.sleep(30 * MS)
    assert len(foreign.joined) == joined
    assert list(foreign.groups[GROUP]) == [CHANNEL], "another process may refresh it"
    await subscriptions.close()


async def test_a_failed_refresh_is_tried_again(foreign: FailingLayer, caplog: pytest.LogCaptureFixture) -> None:
    subscriptions = Subscriptions(foreign, ForeignTiming(refresh_every=5 * MS))
    await subscriptions.add(GROUP, CHANNEL)
    foreign.join_error = OSError("gone")
    await eventually(lambda: len(foreign.joined) >= 4)
    assert "was not refreshed" in caplog.text
    await subscriptions.close()


async def test_a_channel_that_the_layer_cannot_add_is_not_refreshed(foreign: FailingLayer) -> None:
    subscriptions = Subscriptions(foreign, ForeignTiming(refresh_every=5 * MS))
    foreign.join_error = OSError("gone")
    with pytest.raises(Unavailable, match=r"shop\.events cannot subscribe to orders\.placed"):
        await subscriptions.add(GROUP, CHANNEL)
    await asyncio.sleep(20 * MS)
    assert len(foreign.joined) == 1
    await subscriptions.close()


async def test_a_layer_that_hangs_cannot_add_a_channel() -> None:
    class Hanging(FailingLayer):
        async def group_add(self, group: str, channel: str) -> None:
            await asyncio.Event().wait()

    subscriptions = Subscriptions(Hanging(), ForeignTiming(join_within=5 * MS))
    with pytest.raises(Unavailable, match="TimeoutError"):
        await subscriptions.add(GROUP, CHANNEL)


async def test_a_layer_without_groups_is_refused() -> None:
    subscriptions = Subscriptions(object(), ForeignTiming())
    with pytest.raises(ConfigurationError, match="object has no groups"):
        await subscriptions.add(GROUP, CHANNEL)
