"""A user of the server who may not run what is only of use to the bus: it does without, and says what that costs."""

from __future__ import annotations

import asyncio

import msgpack
import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Cluster, Server

from ...support.shop import CHANNEL, echoing, serving_all
from ...support.timing import LONG, Stopwatch, allowed

POOR = ("on", ">pw", "~*", "&*", "+@all")
DENIED = ["-@dangerous", "-info", "-role", "-script|exists", "-client|unblock", "-client|setname", "-ping"]
WITHOUT_INFO = DENIED[:2]


def url_of(server: Server) -> str:
    return f"unix://ann:pw@{server.path}"


@pytest.mark.parametrize("denied", DENIED)
async def test_the_bus_does_without_a_command_that_only_helps(own_server: Server, denied: str) -> None:
    own_server.run("ACL", "SETUSER", "ann", *POOR, denied)
    async with ServiceBus(url_of(own_server)) as worker, ServiceBus(url_of(own_server)) as bus:
        async with serving_all(worker, (echoing(),), 10):
            await bus.wait_for_workers(CHANNEL)
            replies = await bus.gather(*((CHANNEL, {"type": "echo", "n": n}) for n in range(100)))
            assert [reply["n"] for reply in replies] == list(range(100))
        with Stopwatch() as closing:
            await worker.close()
    assert closing.seconds < allowed(3.0), "a pop blocks for a second"


@pytest.mark.parametrize("denied", DENIED)
async def test_a_channels_layer_does_without_a_command_that_only_helps(own_server: Server, denied: str) -> None:
    own_server.run("ACL", "SETUSER", "ann", *POOR, denied)
    layer = RedisChannelLayer([url_of(own_server)])
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "hello"})
    assert await asyncio.wait_for(layer.receive(channel), LONG) == {"type": "hello"}
    for n in range(50):
        await layer.send("jobs", {"type": "job", "n": n})
    assert [(await asyncio.wait_for(layer.receive("jobs"), LONG))["n"] for _ in range(50)] == list(range(50))
    await layer.flush()
    await layer.close_pools()


@pytest.mark.parametrize("denied", DENIED)
async def test_the_price_of_a_user_without_info_is_named(
    own_server: Server, denied: str, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.run("ACL", "SETUSER", "ann", *POOR, denied)
    async with ServiceBus(url_of(own_server)) as bus:
        await bus.send(CHANNEL, {"type": "run"})
    (frame,) = own_server.frames(CHANNEL)
    said = [record.getMessage() for record in caplog.records if "INFO" in record.getMessage()]
    if denied in WITHOUT_INFO:
        assert msgpack.unpackb(frame)[0] == 0
        assert len(said) == 1
        assert "+info" in said[0]
        assert "failover" in said[0]
    else:
        assert msgpack.unpackb(frame)[0] != 0
        assert said == []


@pytest.mark.parametrize("denied", WITHOUT_INFO)
async def test_a_replica_is_recognized_without_info(own_server: Server, denied: str) -> None:
    own_server.run("ACL", "SETUSER", "ann", *POOR, denied)
    own_server.run("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(Unavailable, match="is a replica"):
        async with ServiceBus(url_of(own_server)):
            pass


async def test_a_right_that_is_taken_away_costs_the_fence_and_no_message(own_server: Server) -> None:
    own_server.run("ACL", "SETUSER", "ann", *POOR)
    async with ServiceBus(url_of(own_server)) as worker, ServiceBus(url_of(own_server)) as bus:
        async with serving_all(worker, (echoing(),), 10):
            await bus.wait_for_workers(CHANNEL)
            own_server.run("ACL", "SETUSER", "ann", "-info")
            for n in range(50):
                assert await bus.call(CHANNEL, {"type": "echo", "n": n}, timeout=LONG) == {"type": "echo", "n": n}


async def test_scripts_are_missed_at_the_first_use_by_who_may_not_ask_for_them(own_server: Server) -> None:
    own_server.run("ACL", "SETUSER", "ann", *POOR, "-script|exists", "-script|load")
    async with ServiceBus(url_of(own_server)) as bus:
        with pytest.raises(Unavailable, match="servicebus acl load") as caught:
            await bus.send(CHANNEL, {"type": "run"})
        assert caught.value.executed == "no"


async def test_a_user_without_dangerous_commands_uses_a_cluster(own_cluster: Cluster) -> None:
    for node in own_cluster.nodes:
        node.run("ACL", "SETUSER", "ann", *POOR, "-@dangerous")
    url = own_cluster.url.replace("://", "://ann:pw@")
    services = tuple(echoing(f"shop{n}") for n in range(8))
    async with ServiceBus(url) as worker, ServiceBus(url) as bus, serving_all(worker, services, 10):
        channels = [service.request_channel for service in services]
        await bus.wait_for_workers(*channels)
        replies = await bus.gather(*((channel, {"type": "echo", "to": channel}) for channel in channels))
        assert [reply["to"] for reply in replies] == channels
