"""What a server that does not want to, or must not be talked to, makes the caller see."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servicebus import NoWorkers, SendUnknown, Service, ServiceBus, Unavailable
from servicebus.config import Timing
from servicebus.layers.limits import Limits
from servicebus.layers.redis.layer import RedisLayer
from servicebus.layers.redis.topology.address import Address
from servicebus.testing.proxy import proxied
from servicebus.testing.servers import Server

from ...support.busy_server import is_busy, never_ending_script
from ...support.refusals import refused
from ...support.shop import CHANNEL, calling, served_again
from ...support.timing import MS, eventually
from ...support.transport import (
    Reader,
    left_in,
    outcomes,
    push,
)

KEY = f"asgi:{{{CHANNEL}}}"


async def test_a_full_server_refuses_and_workers_go_on_taking(own_server: Server) -> None:
    service, ran = Service("shop"), list[int]()

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        ran.append(message["n"])

    async with ServiceBus(own_server.url) as bus:
        await bus.send(CHANNEL, {"type": "run", "n": 1})
        own_server.run("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable, match="OOM") as caught:
            await bus.send(CHANNEL, {"type": "run", "n": 2})
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        assert len(own_server.frames(CHANNEL)) == 1
        own_server.run("CONFIG", "SET", "maxmemory", "0")
        async with calling(own_server.url, service):
            own_server.run("CONFIG", "SET", "maxmemory", "1")
            await eventually(lambda: ran == [1])
        own_server.run("CONFIG", "SET", "maxmemory", "0")
        await bus.send(CHANNEL, {"type": "run", "n": 3})


async def test_a_key_of_another_type_refuses_for_good(server: Server) -> None:
    server.run("SET", KEY, "x", "PX", 10_000)
    server.register(CHANNEL)
    async with ServiceBus(server.url) as bus:
        for sending in (bus.send(CHANNEL, {"type": "x"}), bus.call(CHANNEL, {"type": "x"})):
            with pytest.raises(Unavailable, match="WRONGTYPE") as caught:
                await sending
            assert (caught.value.executed, caught.value.retryable) == ("no", False)


async def test_a_busy_server_refuses_and_nothing_was_executed(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "busy-reply-threshold", "1")
    async with ServiceBus(own_server.url) as bus:
        blocking = asyncio.create_task(asyncio.to_thread(never_ending_script, own_server.path))
        await eventually(lambda: is_busy(own_server))
        with pytest.raises(Unavailable, match="BUSY") as caught:
            await bus.send(CHANNEL, {"type": "x"})
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        own_server.run("SCRIPT", "KILL")
        await blocking
        await bus.send(CHANNEL, {"type": "x"})
    assert len(own_server.frames(CHANNEL)) == 1


async def test_a_replica_is_no_server_to_talk_to(own_server: Server) -> None:
    own_server.run("REPLICAOF", "127.0.0.1", "1")
    error = await refused(own_server.url)
    assert isinstance(error, Unavailable)
    assert "is a replica" in str(error)


async def test_a_primary_that_was_a_replica_for_a_while_is_used_again(
    own_server: Server,
) -> None:
    service = Service("shop")

    @service.handler("echo")
    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    async with calling(own_server.url, service) as bus:
        await bus.call(CHANNEL, {"type": "echo"})
        own_server.run("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable, match="READONLY") as caught:
            await bus.send(CHANNEL, {"type": "echo"})
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        own_server.run("REPLICAOF", "NO", "ONE")
        await bus.wait_for_workers(CHANNEL)
        await served_again(bus, CHANNEL, {"type": "echo"})


async def test_a_server_that_takes_no_more_clients_is_unavailable(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "maxclients", "1")
    errors = [await refused(own_server.url) for _ in range(20)]
    assert all(isinstance(error, Unavailable) and error.retryable for error in errors)
    # The server says it and closes the connection at once. If that comes first, what it said is gone.
    told = ("raise its maxclients", "it closed the connection")
    assert all(any(text in str(error) for text in told) for error in errors)
    assert any(told[0] in str(error) for error in errors)


async def test_a_database_that_the_server_does_not_have_is_refused_for_good(own_server: Server) -> None:
    error = await refused(f"{own_server.url}?db=99")
    assert isinstance(error, Unavailable)
    assert not error.retryable
    assert "choose a lower number" in str(error)


# Other things that only this layer has.


async def test_a_database_of_the_url_is_selected(server: Server) -> None:
    async with ServiceBus(f"{server.url}?db=3") as bus:
        await bus.send(CHANNEL, {"type": "x"})
        assert server.frames(CHANNEL) == []
    server.run("SELECT", 3)
    assert len(server.frames(CHANNEL)) == 1
    server.run("SELECT", 0)


async def test_two_prefixes_on_one_server_never_meet(server: Server) -> None:
    layers = [RedisLayer(Address(path=server.path), prefix, Limits()) for prefix in ("one", "other")]
    for layer in layers:
        await layer.open()
    one, other = layers
    await Reader(one, CHANNEL, worker_id="w1").consumer.ready()
    assert await outcomes(push(other, CHANNEL, [1], needs_worker=True)) == {NoWorkers: 1}
    await outcomes(push(other, CHANNEL, [2]))
    assert await left_in(other, CHANNEL) == [2]
    for layer in layers:
        await layer.close()


async def test_a_leaving_worker_does_not_prolong_a_dead_workers_registration(server: Server) -> None:
    ends = server_ms(server) + 400
    server.run("ZADD", f"{KEY}:workers", ends, "died-silently")
    server.run("PEXPIRE", f"{KEY}:workers", 400)
    async with calling(server.url, Service("shop")):
        pass
    async with ServiceBus(server.url) as bus:
        while server_ms(server) <= ends:
            await asyncio.sleep(10 * MS)
        with pytest.raises(NoWorkers):
            await bus.call(CHANNEL, {"type": "x"}, timeout=10.0)


def server_ms(server: Server) -> int:
    seconds, micros = server.run("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def test_frames_of_several_ticks_are_sent_before_the_layer_closes(server: Server, patient: Timing) -> None:
    async with proxied(server.path) as proxy:
        layer = RedisLayer(Address(port=proxy.port), "asgi", Limits(timing=patient))
        await layer.open()
        proxy.delay = MS
        deliveries = []
        for tick in range(30):
            deliveries += push(layer, CHANNEL, [[tick, "x" * 100_000] for _ in range(5)])
            await asyncio.sleep(0)
        await layer.close()
    assert await outcomes(deliveries) == {None: 150}


async def test_a_process_has_two_connections_and_one_for_each_served_channel(server: Server) -> None:
    service = Service("shop")

    @service.handler("echo")
    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    @service.on("orders.placed")
    async def on_placed(event: dict[str, Any]) -> None: ...

    async with ServiceBus(server.url) as bus, bus.serving(service):
        await bus.gather(*((CHANNEL, {"type": "echo", "n": n}) for n in range(3000)))
        assert len(server.clients()) == 4


async def test_an_event_that_some_subscribers_have_got_and_others_not_is_unknown(server: Server) -> None:
    async with ServiceBus(server.url) as bus:
        for channel in ("a.events", "b.events"):
            server.run("ZADD", "asgi:group:{orders.placed}", server_ms(server) + 10_000, channel)
        server.run("PEXPIRE", "asgi:group:{orders.placed}", 10_000)
        server.run("SET", "asgi:{b.events}", "x", "PX", 10_000)
        with pytest.raises(SendUnknown, match="some subscribers have it"):
            await bus.publish("orders.placed", {"n": 1})
        assert len(server.frames("a.events")) == 1
        server.run("ZREM", "asgi:group:{orders.placed}", "a.events")
        with pytest.raises(Unavailable, match="WRONGTYPE"):
            await bus.publish("orders.placed", {"n": 1})
