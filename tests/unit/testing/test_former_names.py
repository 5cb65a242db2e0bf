"""The former names of the testing tools still work."""

from __future__ import annotations

import pytest

from servicebus import ChannelFull
from servicebus.testing import channels, faulty_channel_layer
from servicebus.testing.harness import HarnessBus, Mischief


async def test_a_harness_bus_applies_its_mischief(fresh_hub: str) -> None:
    mischief = Mischief()
    async with HarnessBus(fresh_hub, mischief=mischief) as bus:
        assert bus.mischief is bus.faults is mischief
        mischief.refuse(times=2)
        with pytest.raises(ChannelFull):
            await bus.send("orders.request", {"type": "place"})
        mischief.cease()
        await bus.send("orders.request", {"type": "place"})


def test_misbehaving_is_importable_from_its_former_module() -> None:
    assert channels.misbehaving is faulty_channel_layer.misbehaving
