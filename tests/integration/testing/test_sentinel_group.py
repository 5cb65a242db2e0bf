"""A primary with a replica and Sentinels: failovers, restarts and passwords."""

from __future__ import annotations

import hiredis
import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.testing.servers import Admin, SentinelGroup, Server

from ...support.timing import LONG, eventually


def port_of_primary(sentinel: Server) -> int:
    """Return the port of the server that one Sentinel names as the primary."""
    return int(sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1])


def test_a_started_group_has_all_servers_and_sentinels(sentinel: SentinelGroup) -> None:
    assert [server.role for server in sentinel.servers] == ["master", "slave"]
    assert sentinel.primary is sentinel.servers[0]
    assert sentinel.replicas == sentinel.servers[1:]
    ports = [f"127.0.0.1:{one.port}" for one in sentinel.sentinels]
    assert sentinel.url == f"redis+sentinel://{','.join(ports)}/mymaster/0"
    assert all(b"usable Sentinels" in one.run("SENTINEL", "CKQUORUM", "mymaster") for one in sentinel.sentinels)


def test_the_replica_receives_what_the_primary_stores(sentinel: SentinelGroup) -> None:
    sentinel.primary.run("SET", "k", "v", "EX", 100)
    assert sentinel.primary.run("WAIT", 1, 5000) == 1
    assert sentinel.replicas[0].all_keys() == ["k"]


async def test_a_revived_primary_becomes_a_replica_of_the_new_one(own_sentinel: SentinelGroup) -> None:
    first = own_sentinel.primary
    second = await own_sentinel.failover()
    assert not first.running
    assert second.role == "master"
    assert {port_of_primary(one) for one in own_sentinel.sentinels} == {second.port}
    second.run("SET", "k", "v", "EX", 100)
    await own_sentinel.revive(first)
    assert (first.role, first.all_keys()) == ("slave", ["k"])
    assert own_sentinel.replicas == [first]


async def test_a_paused_primary_is_replaced(own_sentinel: SentinelGroup) -> None:
    first = own_sentinel.primary
    with first.standing_still():
        await eventually(lambda: own_sentinel.primary is not first and own_sentinel.agreed(), within=LONG)
    await eventually(lambda: first.role == "slave", within=LONG)


async def test_servers_and_sentinels_require_the_passwords_in_the_url() -> None:
    with SentinelGroup(replicas=0, sentinels=1, password="one", sentinel_password="two") as group:
        port = group.sentinels[0].port
        assert group.url == f"redis+sentinel://:one@127.0.0.1:{port}/mymaster/0?sentinel_password=two"
        for server in (group.primary, group.sentinels[0]):
            stranger = Admin(server.path)
            with pytest.raises(hiredis.ReplyError, match="NOAUTH"):
                stranger.run("INFO")
            stranger.close()
        async with ServiceBus(group.url) as bus:
            await bus.send("shop.request", {"type": "x"})
        assert len(group.primary.frames("shop.request")) == 1


async def test_the_primary_is_unknown_when_no_sentinel_answers() -> None:
    with SentinelGroup(replicas=0, sentinels=2) as group:
        group.sentinels[0].kill()
        assert group.primary is group.servers[0]
        group.sentinels[1].kill()
        with pytest.raises(Unavailable, match="no sentinel names a primary"):
            _ = group.primary
        await group.sentinels[0].restart()
        assert group.primary is group.servers[0]


def test_a_group_that_cannot_start_ends_all_its_servers() -> None:
    group = SentinelGroup(options=("--maxmemory", "a lot"))
    with pytest.raises(Unavailable):
        group.start()
    assert group.servers == []
