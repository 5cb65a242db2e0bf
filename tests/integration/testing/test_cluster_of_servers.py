"""A Cluster of real servers: slots, failovers and restarts."""

from __future__ import annotations

import hiredis
import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.testing.servers import Cluster

from ...support.timing import LONG, eventually


def test_a_started_cluster_serves_all_slots(cluster: Cluster) -> None:
    for node in cluster.nodes:
        assert "cluster_slots_ok:16384" in node.run("CLUSTER", "INFO").decode()
    assert cluster.url == f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in cluster.nodes)}"
    assert [cluster.primary(number) for number in range(3)] == cluster.nodes


def test_a_key_is_served_by_the_node_with_its_slot(cluster: Cluster) -> None:
    owners = [cluster.node_of(key) for key in ("a", "b", "c")]
    assert len(set(map(id, owners))) == 3
    for node, key in zip(owners, ("a", "b", "c"), strict=True):
        node.run("SET", key, "v", "EX", 100)
    with pytest.raises(hiredis.ReplyError, match="MOVED 15495"):
        owners[1].run("GET", "a")


async def test_moving_a_slot_moves_its_keys(own_cluster: Cluster) -> None:
    slot, source, target = own_cluster.slot_of("{a}"), own_cluster.node_of("a"), own_cluster.primary(0)
    for number in range(250):
        source.run("SET", f"{{a}}{number}", number, "EX", 100)
    await own_cluster.move_slot(slot, target)
    assert own_cluster.node_of("a") is target
    assert (len(target.all_keys()), len(source.all_keys())) == (250, 0)
    with pytest.raises(hiredis.ReplyError, match=f"MOVED {slot} 127.0.0.1:{target.port}"):
        source.run("GET", "{a}1")
    await own_cluster.move_slot(slot, source)
    assert own_cluster.node_of("a") is source


def test_a_slot_in_transit_redirects_clients_for_missing_keys(own_cluster: Cluster) -> None:
    slot, source, target = own_cluster.slot_of("a"), own_cluster.node_of("a"), own_cluster.primary(1)
    source.run("SET", "a", "there", "EX", 100)
    with own_cluster.moving(slot, target):
        assert source.run("GET", "a") == b"there"
        with pytest.raises(hiredis.ReplyError, match=f"ASK {slot} 127.0.0.1:{target.port}"):
            source.run("GET", "{a}other")
        assert own_cluster.node_of("a") is source
    assert target.run("GET", "a") == b"there"


async def test_a_replica_replaces_a_killed_primary(own_cluster: Cluster) -> None:
    first, second = own_cluster.shard(2)
    assert own_cluster.kill_primary(2) is first
    await eventually(lambda: own_cluster.primary(2) is second, within=LONG)
    assert own_cluster.node_of("a") is second
    await first.restart()
    await eventually(lambda: first.role == "slave", within=LONG)
    await own_cluster.settled()
    assert own_cluster.primary(2) is second


async def test_a_bus_with_the_url_reaches_every_node(cluster: Cluster) -> None:
    async with ServiceBus(cluster.url) as bus:
        for channel in ("a", "b", "c"):
            await bus.send(channel, {"type": "x"})
    assert [len(cluster.node_of(channel).frames(channel)) for channel in ("a", "b", "c")] == [1, 1, 1]


async def test_a_requested_failover_loses_no_key(own_cluster: Cluster) -> None:
    first, second = own_cluster.shard(2)
    first.run("SET", "a", "v", "EX", 100)
    assert await own_cluster.failover(2) is second
    assert second.run("GET", "a") == b"v"
    assert (first.role, second.role) == ("slave", "master")


async def test_other_slots_are_served_while_a_primary_is_down() -> None:
    with Cluster(password="a secret", node_timeout=0.5) as cluster:
        assert cluster.url.startswith("redis+cluster://:a secret@127.0.0.1:")
        dead, living = cluster.primary(2), cluster.primary(0)
        key = next(key for key in "abcdef" if cluster.node_of(key) is living)
        assert cluster.kill_primary(2) is dead
        await eventually(lambda: b"fail" in living.run("CLUSTER", "NODES"), within=LONG)
        assert living.run("SET", key, "v", "EX", 100) == b"OK"
        await dead.restart()
        await cluster.settled()
        assert cluster.primary(2) is dead


def test_the_owner_of_a_key_is_unknown_when_no_node_answers() -> None:
    with Cluster(primaries=1) as cluster:
        cluster.kill_primary(0)
        with pytest.raises(Unavailable, match="no node answers"):
            cluster.node_of("a")


def test_a_cluster_that_cannot_start_ends_all_its_nodes() -> None:
    cluster = Cluster(options=("--maxmemory", "a lot"))
    with pytest.raises(Unavailable):
        cluster.start()
    assert cluster.nodes == []
