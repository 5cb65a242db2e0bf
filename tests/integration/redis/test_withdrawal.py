"""What it costs to take frames back, and how many of them are, whatever else is queued."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from servicebus import DeadlineExceeded, ServiceBus
from servicebus.layers.factory import layer_for
from servicebus.layers.limits import Limits
from servicebus.layers.redis.layer import RedisLayer
from servicebus.protocol.codec import MAX_FRAME, encode_frame
from servicebus.security.acl import ServiceUser, rules
from servicebus.testing.servers import Server
from servicebus.testing.servers.admin import NEVER_MS

from ...support.timing import LONG, MS
from ...support.transport import Delivery, outcomes, push

CHANNEL = "shop.request"
PASSWORD = "correct horse battery"
TOGETHER = 1000
"""Calls that end together."""
CAPACITY = 400_000
LONGEST = 0.01
"""Seconds of processor time that a script may take. On a machine with nothing else to do it is 0.001."""


def filled(server: Server, count: int) -> None:
    """Let so many messages of another sender wait in the channel."""
    for at in range(0, count, 1000):
        messages = [{"type": "n", "n": at + number, "pad": "x" * 80} for number in range(1000)]
        frames = [encode_frame(0, NEVER_MS, "", message, MAX_FRAME) for message in messages]
        server.run("RPUSH", f"asgi:{{{CHANNEL}}}", *frames)
    server.run("PEXPIRE", f"asgi:{{{CHANNEL}}}", int(2000 * LONG))


def opened(url: str) -> RedisLayer:
    layer = layer_for(url, "asgi", Limits(capacity=CAPACITY), "tests")
    assert isinstance(layer, RedisLayer)
    return layer


class Costs:
    """Processor time of a server, in seconds."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = self._used()

    def _used(self) -> float:
        lines = dict(line.partition(":")[::2] for line in self._server.run("INFO", "cpu").decode().splitlines())
        return float(lines["used_cpu_user"]) + float(lines["used_cpu_sys"])

    def so_far(self) -> float:
        return self._used() - self._before

    def scripts(self) -> int:
        """How many scripts ran since the statistics were reset."""
        lines = self._server.run("INFO", "commandstats").decode().splitlines()
        return next((int(line.partition("calls=")[2].partition(",")[0]) for line in lines if "evalsha" in line), 0)


@pytest.fixture(params=["default", "web"])
def url(request: pytest.FixtureRequest, own_server: Server) -> Iterator[str]:
    """Of a user who may do everything, and of a caller who may not look at what others have sent."""
    if request.param == "default":
        yield own_server.url
        return
    own_server.run("ACL", "SETUSER", "web", *rules(ServiceUser("web", False, (CHANNEL,)), PASSWORD), "+script|load")
    yield own_server.url.replace("unix://", f"unix://web:{PASSWORD.replace(' ', '%20')}@")


@pytest.mark.parametrize(("before", "behind"), [(0, 0), (10_000, 0), (100_000, 0), (0, 100_000), (5_000, 5_000)])
async def test_taking_frames_back_costs_little_whatever_is_queued(
    own_server: Server, url: str, before: int, behind: int
) -> None:
    layer = opened(url)
    await layer.open()
    try:
        filled(own_server, before)
        deliveries = push(layer, CHANNEL, range(TOGETHER))
        assert await outcomes(deliveries) == {None: TOGETHER}
        others = push(layer, CHANNEL, range(TOGETHER, TOGETHER + behind))
        assert (await outcomes(others))[None] == behind if behind else True
        own_server.run("CONFIG", "RESETSTAT")
        costs = Costs(own_server)
        taken_back = await layer.withdraw(*deliveries)
        used, scripts = costs.so_far(), costs.scripts()
    finally:
        await layer.close()
    assert len(taken_back) == TOGETHER
    assert used / scripts <= LONGEST
    assert len(own_server.frames(CHANNEL)) == before + behind


async def test_frames_that_were_popped_are_not_searched_for(own_server: Server, url: str) -> None:
    """They are looked for at each deadline of a call that runs, so a search would read what others have queued."""
    layer = opened(url)
    await layer.open()
    try:
        deliveries = push(layer, CHANNEL, range(TOGETHER))
        assert await outcomes(deliveries) == {None: TOGETHER}
        own_server.run("LPOP", f"asgi:{{{CHANNEL}}}", TOGETHER)
        await outcomes(push(layer, CHANNEL, range(50_000)))
        own_server.run("CONFIG", "RESETSTAT")
        costs = Costs(own_server)
        assert await layer.withdraw(*deliveries) == []
        used, scripts = costs.so_far(), costs.scripts()
    finally:
        await layer.close()
    assert used / scripts <= LONGEST


@pytest.mark.parametrize("before", [0, 10_000, 100_000])
@pytest.mark.parametrize("together", [TOGETHER, 10_000])
async def test_calls_that_expire_together_and_were_never_taken_all_say_no(
    own_server: Server, before: int, together: int
) -> None:
    own_server.register(CHANNEL)
    filled(own_server, before)

    async def one(number: int) -> str:
        with pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, {"type": "n", "n": number}, timeout=2000 * MS)
        return caught.value.executed

    async with ServiceBus(own_server.url, capacity=CAPACITY) as bus:
        async with asyncio.timeout(LONG):
            said = await asyncio.gather(*map(one, range(together)))
    assert Counter(said) == {"no": together}
    assert len(own_server.frames(CHANNEL)) == before


@pytest.mark.parametrize("before", [0, 100_000])
async def test_calls_that_are_cancelled_together_are_all_taken_back(own_server: Server, before: int) -> None:
    own_server.register(CHANNEL)
    filled(own_server, before)
    async with ServiceBus(own_server.url, capacity=CAPACITY) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, {"type": "n", "n": n}, timeout=LONG)) for n in range(TOGETHER)]
        async with asyncio.timeout(LONG):
            while own_server.run("LLEN", f"asgi:{{{CHANNEL}}}") < before + TOGETHER:
                await asyncio.sleep(MS)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            while own_server.run("LLEN", f"asgi:{{{CHANNEL}}}") > before:
                await asyncio.sleep(MS)
    assert len(own_server.frames(CHANNEL)) == before


async def test_frames_that_have_not_left_are_taken_back_in_one_pass(own_server: Server) -> None:
    """Thousands wait for a connection, and all of them are given up at once."""
    layer = opened(own_server.url)
    await layer.open()
    try:
        deliveries = [Delivery(layer, CHANNEL, number) for number in range(20_000)]
        for pipeline in layer.nodes.pipelines():
            pipeline.abort()
        await asyncio.sleep(0)
        for delivery in deliveries:
            layer.push(delivery)
        before = asyncio.get_running_loop().time()
        assert len(await layer.withdraw(*deliveries)) == len(deliveries)
        # Searched for one by one it takes seconds.
        assert asyncio.get_running_loop().time() - before < 2.0
    finally:
        await layer.close()
