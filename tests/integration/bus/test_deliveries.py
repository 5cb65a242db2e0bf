"""What callers are told when one answer concerns many of them."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from servicebus import ChannelFull, NoWorkers, ServiceBus, ServiceBusError, Unavailable
from servicebus.testing.servers import Server

CHANNEL = "shop.request"


def frames_of(error: BaseException) -> int:
    return len(traceback.extract_tb(error.__traceback__))


@pytest.mark.parametrize("kind", [NoWorkers, ChannelFull])
async def test_each_of_many_that_are_refused_at_once_gets_an_error_of_its_own(
    url: str, kind: type[ServiceBusError]
) -> None:
    """An error that is shared is raised with the frames of everybody else in its traceback."""
    async with ServiceBus(url, capacity=1) as bus:
        await bus.send(CHANNEL, {"type": "x"})
        go = bus.call if kind is NoWorkers else bus.send
        errors = await asyncio.gather(*(go(CHANNEL, {"type": "x"}) for _ in range(200)), return_exceptions=True)
    assert {type(error) for error in errors} == {kind}
    assert len({id(error) for error in errors}) == 200
    assert max(frames_of(error) for error in errors if isinstance(error, BaseException)) < 10


async def test_what_is_refused_in_an_outage_keeps_nothing_of_those_before(own_server: Server) -> None:
    frames = 0
    async with ServiceBus(own_server.url) as bus:
        await bus.send(CHANNEL, {"type": "x"})
        own_server.kill()
        for _ in range(100):
            for going in (bus.call(CHANNEL, {"type": "x"}), bus.send(CHANNEL, {"type": "x"}), bus.workers(CHANNEL)):
                with pytest.raises(ServiceBusError) as caught:
                    await going
                frames = max(frames, frames_of(caught.value))
        assert isinstance(caught.value, Unavailable)
    assert frames < 20
