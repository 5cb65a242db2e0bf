"""A primary that is replaced, follows its replacement, and is promoted again: no message runs a second time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from servicebus import DeadlineExceeded, NoWorkers, Service, ServiceBus, Unavailable
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Cluster, SentinelGroup, Server
from servicebus.testing.servers.ports import HOST
from servicebus.testing.servers.server import follows

from ...support.shop import CHANNEL, served_again
from ...support.timing import LONG, MS, eventually, eventually_sync

SENT = 40
"""Messages in the channel at first."""
TAKEN = 8
"""Messages that a worker takes before the primary is replaced."""
AT_ONCE = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--save", "")
"""Options of servers: replicas are served at once."""
FORGETFUL = ("--repl-backlog-ttl", "1")
"""Options of servers: one that has had no replica for a second forgets that it was promoted."""


class Held:
    """A service whose handlers wait until ``go_on`` is set."""

    def __init__(self, name: str = "shop") -> None:
        # The numbers of the messages that ran; those of ``served_again`` are negative, and not among them.
        self.seen: list[int] = []
        self.go_on = asyncio.Event()
        self.service = Service(name)

        @self.service.handler("run")
        async def run(message: dict[str, Any]) -> None:
            if message["n"] >= 0:
                self.seen.append(message["n"])
            await self.go_on.wait()

    async def send_all(self, bus: ServiceBus) -> None:
        for n in range(SENT):
            await bus.send(self.service.request_channel, {"type": "run", "n": n})

    async def all_taken(self, *buses: ServiceBus) -> None:
        """Wait until each message was handled or dropped."""
        self.go_on.set()
        await eventually(lambda: len(self.seen) + sum(bus.counters.fenced_frames for bus in buses) >= SENT)

    async def drained(self, worker: ServiceBus, bus: ServiceBus) -> None:
        """Wait until each message was handled or dropped, and a call of ``bus`` is answered."""
        await self.all_taken(worker)
        await served_again(bus, self.service.request_channel, {"type": "run", "n": -1})

    def check(self) -> None:
        assert sorted(self.seen) == sorted(set(self.seen)), "a message ran twice"
        assert set(self.seen) >= set(range(TAKEN))


class Twins:
    """Two servers, either of which may follow the other. Nothing but the test changes their roles."""

    def __init__(self, first: Server, second: Server) -> None:
        self.first = first
        self.second = second

    async def follow(self) -> None:
        """Let the second follow the first."""
        await follow(self.second, self.first)

    async def there_and_back(self, taking: Any) -> None:
        """Replace the first by the second, which has not heard of what ``taking`` takes, and back."""
        self.second.run("REPLICAOF", "NO", "ONE")
        await taking()
        await follow(self.first, self.second)
        self.first.run("REPLICAOF", "NO", "ONE")


async def follow(replica: Server, primary: Server) -> None:
    replica.run("REPLICAOF", HOST, primary.port)
    await eventually(lambda: follows(replica))


async def in_step(primary: Server, replica: Server) -> None:
    """Wait until a replica has all that its primary has now."""
    written = int(primary.info("replication")["master_repl_offset"])
    await eventually(lambda: int(replica.info("replication")["master_repl_offset"]) >= written)


@pytest.fixture
def twins() -> Iterator[Twins]:
    with Server(*AT_ONCE, tcp=True) as first, Server(*AT_ONCE, tcp=True) as second:
        yield Twins(first, second)


@pytest.fixture
def forgetful() -> Iterator[Twins]:
    options = (*AT_ONCE, *FORGETFUL)
    with Server(*options, tcp=True) as first, Server(*options, tcp=True) as second:
        yield Twins(first, second)


def cut_off(primary: Server, replica: Server) -> None:
    """From now on the replica hears of nothing: neither what it has not read yet, nor what comes."""
    replica.pause()
    primary.run("CLIENT", "KILL", "TYPE", "REPLICA")


async def promoted_by_hand(replica: Server) -> None:
    """Let a replica of a Cluster take over. The nodes give up an attempt that takes them too long."""
    for _ in range(10):
        replica.run("CLUSTER", "FAILOVER")
        with suppress(AssertionError):
            await eventually(lambda: replica.role == "master", 6000 * MS)
            return
    raise AssertionError("the nodes did not let the replica take over")


@pytest.mark.row(40)
async def test_behind_sentinels_nothing_runs_twice_after_a_return(own_sentinel: SentinelGroup) -> None:
    held, first, second = Held(), own_sentinel.primary, own_sentinel.replicas[0]
    async with ServiceBus(own_sentinel.url) as bus, ServiceBus(own_sentinel.url) as worker:
        await held.send_all(bus)
        await in_step(first, second)
        cut_off(first, second)
        async with worker.serving(held.service, concurrency=TAKEN):
            await eventually(lambda: len(held.seen) == TAKEN)
            first.pause()
            second.resume()
            await eventually(lambda: own_sentinel.primary is second)
            first.resume()
            await eventually(lambda: first.role == "slave" and follows(first) and own_sentinel.agreed())
            second.pause()
            await eventually(lambda: own_sentinel.primary is first)
            assert len(first.frames(CHANNEL)) == SENT, "what had been taken has come back"
            second.resume()
            await held.drained(worker, bus)
    held.check()


@pytest.mark.row(40)
async def test_on_a_cluster_nothing_runs_twice_after_a_return(own_cluster: Cluster) -> None:
    held = Held()
    channel = held.service.request_channel
    number = next(n for n in range(3) if own_cluster.primary(n) is own_cluster.node_of(f"asgi:{{{channel}}}"))
    first, second = own_cluster.shard(number)
    async with ServiceBus(own_cluster.url) as bus, ServiceBus(own_cluster.url) as worker:
        await held.send_all(bus)
        await in_step(first, second)
        cut_off(first, second)
        async with worker.serving(held.service, concurrency=TAKEN):
            await eventually(lambda: len(held.seen) == TAKEN)
            first.pause()
            second.resume()
            second.run("CLUSTER", "FAILOVER", "TAKEOVER")
            await eventually(lambda: second.role == "master")
            first.resume()
            await eventually(lambda: first.role == "slave" and follows(first))
            await own_cluster.settled()
            await promoted_by_hand(first)
            await own_cluster.settled()
            assert len(first.frames(channel)) == SENT, "what had been taken has come back"
            await held.drained(worker, bus)
    held.check()


@pytest.mark.row(40)
async def test_a_connection_that_outlives_the_return_hands_out_nothing_twice(twins: Twins) -> None:
    """Nobody closes the connections of clients when roles are changed by hand."""
    await twins.follow()
    held = Held()
    async with ServiceBus(twins.first.url) as bus, ServiceBus(twins.first.url) as worker:
        await held.send_all(bus)
        await in_step(twins.first, twins.second)

        async def take() -> None:
            await serving.__aenter__()
            await eventually(lambda: len(held.seen) == TAKEN)

        serving = worker.serving(held.service, concurrency=TAKEN)
        try:
            await twins.there_and_back(take)
            assert len(twins.first.frames(CHANNEL)) == SENT, "what had been taken has come back"
            await held.drained(worker, bus)
        finally:
            await serving.__aexit__(None, None, None)
    held.check()


@pytest.mark.row(40)
async def test_a_return_of_a_few_milliseconds_hands_out_nothing_twice(twins: Twins) -> None:
    """The reader asks again as soon as the server is a primary again, and asked just before it was replaced."""
    await twins.follow()
    first, second, seen = twins.first, twins.second, list[int]()
    service, back = Service("shop"), asyncio.Event()

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        seen.append(message["n"])
        if len(seen) == TAKEN:
            # Nothing else of this process runs meanwhile: no look at the server falls into this time.
            first.run("REPLICAOF", HOST, second.port)
            eventually_sync(lambda: follows(first), every=0)
            first.run("REPLICAOF", "NO", "ONE")
            assert len(first.frames(CHANNEL)) == SENT, "what had been taken has come back"
            back.set()

    async with ServiceBus(first.url) as bus, ServiceBus(first.url) as worker:
        for n in range(SENT):
            await bus.send(CHANNEL, {"type": "run", "n": n})
        await in_step(first, second)
        second.run("REPLICAOF", "NO", "ONE")
        async with worker.serving(service, concurrency=1):
            await asyncio.wait_for(back.wait(), LONG)
            await eventually(lambda: len(seen) + worker.counters.fenced_frames >= SENT)
    assert sorted(seen) == sorted(set(seen)), "a message ran twice"


@pytest.mark.row(40)
async def test_a_message_that_came_back_is_no_proof_that_it_was_not_taken(twins: Twins) -> None:
    await twins.follow()
    held = Held()
    async with ServiceBus(twins.first.url) as bus, ServiceBus(twins.first.url) as worker:
        twins.first.register(CHANNEL)
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "run", "n": 0}, timeout=2000 * MS))
        await eventually(lambda: len(twins.first.frames(CHANNEL)) == 1)
        await in_step(twins.first, twins.second)

        async def take() -> None:
            await serving.__aenter__()
            await eventually(lambda: held.seen == [0])

        serving = worker.serving(held.service, concurrency=1)
        try:
            await twins.there_and_back(take)
            assert len(twins.first.frames(CHANNEL)) == 1, "what had been taken has come back"
            with pytest.raises(DeadlineExceeded) as caught:
                await call
            assert caught.value.executed == "maybe"
        finally:
            held.go_on.set()
            await serving.__aexit__(None, None, None)
    assert held.seen == [0]


@pytest.mark.row(40)
async def test_consumers_of_channels_get_nothing_twice_after_a_return(twins: Twins) -> None:
    await twins.follow()
    layer = RedisChannelLayer([twins.first.url])
    for n in range(SENT):
        await layer.send("jobs", {"n": n})
    await in_step(twins.first, twins.second)
    received: list[int] = []

    async def take() -> None:
        # Many in a row, so that the layer takes several at a time.
        received.extend([(await layer.receive("jobs"))["n"] for _ in range(SENT // 2)])

    await twins.there_and_back(take)
    assert len(twins.first.frames("jobs")) == SENT, "what had been taken has come back"
    later = asyncio.create_task(send_on(layer, "jobs"))
    while received[-1] < SENT:
        received.append((await asyncio.wait_for(layer.receive("jobs"), LONG))["n"])
    later.cancel()
    await asyncio.gather(later, return_exceptions=True)
    await layer.close_pools()
    assert received == sorted(set(received))


async def send_on(layer: RedisChannelLayer, channel: str) -> None:
    """Send further messages: the first ones may bear the fence of before, for a quarter of a second."""
    for n in itertools.count(SENT):
        with suppress(Unavailable, NoWorkers):
            await layer.send(channel, {"n": n})
        await asyncio.sleep(20 * MS)


async def test_messages_outlive_the_first_replica_of_their_primary(twins: Twins) -> None:
    """A server gives its data another ID then, and nobody was promoted."""
    held = Held()
    async with ServiceBus(twins.first.url) as bus:
        await held.send_all(bus)
        before = twins.first.info("replication")["master_replid"]
        await twins.follow()
        assert twins.first.info("replication")["master_replid"] != before
        async with ServiceBus(twins.first.url) as worker, worker.serving(held.service):
            held.go_on.set()
            await eventually(lambda: held.seen == list(range(SENT)))
            await bus.call(CHANNEL, {"type": "run", "n": SENT})
        assert worker.counters.fenced_frames == 0


async def test_messages_outlive_the_memory_of_a_promotion(forgetful: Twins) -> None:
    """A server that has had no replica for long forgets what it followed once, and nobody was promoted."""
    primary = forgetful.second
    await forgetful.follow()
    held = Held()
    primary.run("REPLICAOF", "NO", "ONE")
    async with ServiceBus(primary.url) as bus, ServiceBus(primary.url) as worker:
        await held.send_all(bus)
        async with worker.serving(held.service, concurrency=TAKEN):
            await eventually(lambda: len(held.seen) == TAKEN)
            await eventually(lambda: set(primary.info("replication")["master_replid2"]) == {"0"})
            held.go_on.set()
            await eventually(lambda: held.seen == list(range(SENT)))
            for n in range(SENT):
                await bus.call(CHANNEL, {"type": "run", "n": SENT + n})
            async with ServiceBus(primary.url) as newcomer:
                await newcomer.call(CHANNEL, {"type": "run", "n": 2 * SENT})
        assert worker.counters.fenced_frames == 0
